defmodule DSPexErl.Python do
  @moduledoc """
  Which Python runs, and how: the command of a worker, from options and the application's configuration.

    * `:python_executable` - a path or a command on the `PATH`. Without it: the variable `DSPEX_PYTHON`, then the environment that
      `mix dspex_erl.setup` has made, then `python3`.
    * `:concurrency` - how many calls run at once (default 64). Coroutines take a place, too.
    * `:python_path` - directories in which Python looks for your modules.
    * `:env` - a map of variables for the process.

  The package `dspex_erl` is the installed one; where none is installed, the copy that comes with this application, which has no C codec
  and is slower.
  """

  @doc "`{executable, arguments, environment}` of a worker. Raises nothing; says what is missing."
  @spec command(keyword) :: {:ok, {String.t(), [String.t()], [{charlist, charlist}]}} | {:error, DSPexErl.Error.t()}
  def command(options) do
    wanted = executable(options)

    case System.find_executable(wanted) do
      nil ->
        {:error,
         DSPexErl.Error.new(
           :import_error,
           "expected a Python 3.10 or newer as #{inspect(wanted)}, got nothing there; `mix dspex_erl.setup` makes one"
         )}

      path ->
        arguments = [
          "-c",
          bootstrap(),
          bundled(),
          "--packet=4",
          "--strings=str",
          "--concurrency=#{get(options, :concurrency, 64)}"
        ]

        {:ok, {path, arguments, environment(options)}}
    end
  end

  @doc "The Python that is asked for, as it was written."
  @spec executable(keyword) :: String.t()
  def executable(options \\ []) do
    get(options, :python_executable, nil) || System.get_env("DSPEX_PYTHON") || set_up() || "python3"
  end

  @doc "Where `mix dspex_erl.setup` makes its virtual environment."
  @spec venv() :: String.t()
  def venv, do: Path.expand(".dspex", File.cwd!())

  @doc "The copy of the Python package that comes with this application."
  @spec bundled() :: String.t()
  def bundled, do: Application.app_dir(:dspex_erl, "priv/python")

  @doc "The value of an option: as given, else as configured, else the default."
  @spec get(keyword, atom, term) :: term
  def get(options, name, default),
    do: Keyword.get_lazy(options, name, fn -> Application.get_env(:dspex_erl, name, default) end)

  defp set_up do
    python = Path.join(venv(), "bin/python")
    if File.exists?(python), do: python
  end

  # The bundled copy goes to the end of the path, so that an installed package is found first.
  defp bootstrap do
    "import sys, runpy; sys.path.append(sys.argv.pop(1)); runpy.run_module('dspex_erl.port', run_name='__main__', alter_sys=True)"
  end

  defp environment(options) do
    path = options |> get(:python_path, []) |> List.wrap() |> Enum.map(&Path.expand/1)
    inherited = System.get_env("PYTHONPATH", "")
    joined = Enum.join(path ++ List.wrap(if(inherited != "", do: inherited)), ":")
    added = if path == [], do: [], else: [{~c"PYTHONPATH", String.to_charlist(joined)}]
    added ++ for {name, value} <- get(options, :env, %{}), do: {to_charlist(name), to_charlist(value)}
  end
end
