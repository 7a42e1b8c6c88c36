defmodule DSPexErl do
  @moduledoc """
  DSPy, and any other Python, from Elixir: programs in sessions that share nothing, on one supervised Python process.

      {:ok, session} = DSPexErl.create_session(lm: %{model: "echo"})
      {:ok, _} = DSPexErl.create_program(session, "qa", "question -> answer")
      {:ok, %{result: %{answer: "Why?"}}} = DSPexErl.execute_program(session, "qa", %{question: "Why?"})

  Every function returns `{:ok, value}` or `{:error, %DSPexErl.Error{}}`, and has a twin with `!` that returns the value or raises.
  The values are maps with atoms for keys; texts are binaries. The keys inside `result` are atoms if those of the inputs were.

  A session is a binary or an atom of your choice, or one that `create_session/1` makes up. It comes into being at its first use. Model,
  programs, cache and statistics of a session are its own. `echo` answers with what it is asked and `%{model: "scripted", answers: […]}`
  with what it is told, for tests; `local` is a small language model inside the Python process; all others are named as DSPy names
  them, `"openai/gpt-4o-mini"` for one.

  All functions take `connection: pid_or_name` to use another connection than the application's own, and `timeout:` in milliseconds.
  """
  alias DSPexErl.{Connection, Error}

  @type session :: String.t() | atom
  @type program :: String.t() | atom
  @type reply :: {:ok, map} | {:error, Error.t()}

  # For a run, the deadline is Python's to keep, which stops the work; this side waits a little longer.
  @execute_timeout 120_000
  @grace 5_000

  @doc """
  Makes a session and returns its id.

  Options: `:id` (made up without it), `:lm`, `:adapter`, `:user_id`, `:ttl` (seconds), `:max_programs`, `:limits`, `:config`.

      iex> {:ok, "session_" <> digits = session} = DSPexErl.create_session(lm: %{model: "echo"})
      iex> {byte_size(digits), DSPexErl.destroy_session(session)}
      {16, :ok}
  """
  @spec create_session(keyword) :: {:ok, String.t()} | {:error, Error.t()}
  def create_session(options \\ []) do
    {id, options} = Keyword.pop_lazy(options, :id, &new_id/0)
    {call, opts} = Keyword.split(options, [:connection, :timeout])
    with {:ok, %{session_id: id}} <- command("create_session", [id, plain(opts)], call), do: {:ok, id}
  end

  defp new_id, do: "session_" <> Base.encode16(:crypto.strong_rand_bytes(8), case: :lower)

  @doc """
  Ends a session: its programs are gone, and whoever waits for a run of it gets `:cancelled`.

      iex> {:error, %DSPexErl.Error{reason: reason}} = DSPexErl.destroy_session("nobody")
      iex> reason
      :session_not_found
  """
  @spec destroy_session(session, keyword) :: :ok | {:error, Error.t()}
  def destroy_session(session, options \\ []) do
    with {:ok, _} <- command("destroy_session", [session], options), do: :ok
  end

  @doc "The ids of all sessions, oldest first; with `user_id:`, of one user's."
  @spec list_sessions(keyword) :: {:ok, [String.t()]} | {:error, Error.t()}
  def list_sessions(options \\ []) do
    {filter, options} = Keyword.split(options, [:user_id])
    with {:ok, %{sessions: sessions}} <- command("list_sessions", [plain(filter)], options), do: {:ok, sessions}
  end

  @doc "What there is to know of a session: its user, state, times, programs and statistics."
  @spec get_session_info(session, keyword) :: reply
  def get_session_info(session, options \\ []), do: command("get_session_info", [session], options)

  @doc """
  Gives a session another language model. The reply never holds the key.

      iex> {:ok, %{model: model}} = DSPexErl.configure_lm("doctest", %{model: "echo"})
      iex> model
      "echo"
  """
  @spec configure_lm(session, map | keyword, keyword) :: reply
  def configure_lm(session, lm, options \\ []), do: command("configure_lm", [session, plain(lm)], options)

  @doc """
  Makes a program out of a signature, or out of a map with `signature`, `instructions`, `module`, `module_args`, `config` and `demos`.

      iex> spec = %{signature: "text -> mood: Literal['good', 'bad']", module: "chain_of_thought"}
      iex> {:ok, %{status: "created"}} = DSPexErl.create_program("doctest", "mood", spec)
      iex> {:error, %DSPexErl.Error{reason: reason}} = DSPexErl.create_program("doctest", "mood", spec)
      iex> {reason, DSPexErl.reset_programs!("doctest").cleared_programs > 0}
      {:program_exists, true}
  """
  @spec create_program(session, program, String.t() | map, keyword) :: reply
  def create_program(session, program, spec, options \\ []) do
    # The first program imports DSPy.
    command("create_program", [session, program, plain(spec)], Keyword.put_new(options, :timeout, 60_000))
  end

  @doc """
  Runs a program. `timeout:` is #{@execute_timeout} ms unless told otherwise; when it is over, the work is stopped, not only the wait.
  `config:` is a map of settings of the language model, for this run alone. A call with the `idempotency_key:` of an earlier one
  runs nothing and gets the same reply.

      iex> DSPexErl.configure_lm!("doctest run", %{model: "echo"})
      iex> DSPexErl.create_program!("doctest run", "qa", "question -> answer")
      iex> {:ok, reply} = DSPexErl.execute_program("doctest run", "qa", %{question: "Why?"})
      iex> {reply.result, reply.cached}
      {%{answer: "Why?"}, false}
      iex> DSPexErl.destroy_session("doctest run")
      :ok
  """
  @spec execute_program(session, program, map | keyword, keyword) :: reply
  def execute_program(session, program, inputs, options \\ []) do
    timeout = Keyword.get(options, :timeout, @execute_timeout)
    {own, call} = Keyword.split(options, [:config, :idempotency_key])
    opts = own |> plain() |> Map.put(:timeout, timeout)
    call = Keyword.put(call, :timeout, if(timeout == :infinity, do: :infinity, else: timeout + @grace))
    command("execute_program", [session, program, plain(inputs), opts], call)
  end

  @doc "The ids of a session's programs, and their count."
  @spec list_programs(session, keyword) :: reply
  def list_programs(session, options \\ []), do: command("list_programs", [session], options)

  @doc "What there is to know of a program: signature, module, executions, fingerprint."
  @spec get_program_info(session, program, keyword) :: reply
  def get_program_info(session, program, options \\ []), do: command("get_program_info", [session, program], options)

  @doc "Removes a program. One that is not there is an error."
  @spec delete_program(session, program, keyword) :: reply
  def delete_program(session, program, options \\ []), do: command("delete_program", [session, program], options)

  @doc ~S"""
  Removes a program if it is there; `status` says whether it was: `"cleared"` or `"not_found"`.

      iex> {:ok, %{status: status}} = DSPexErl.clear_program("doctest", "nothing")
      iex> status
      "not_found"
  """
  @spec clear_program(session, program, keyword) :: reply
  def clear_program(session, program, options \\ []), do: command("clear_program", [session, program], options)

  @doc "Removes all programs of a session; `cleared_programs` is how many there were."
  @spec reset_programs(session, keyword) :: reply
  def reset_programs(session, options \\ []), do: command("reset_programs", [session], options)

  @doc "Makes a session as new, but for its model and its options. With `:all`, every session."
  @spec reset_state(session | :all, keyword) :: reply
  def reset_state(session, options \\ []) do
    command("reset_state", if(session == :all, do: [], else: [session]), options)
  end

  @doc "The counters of a session."
  @spec get_stats(session, keyword) :: reply
  def get_stats(session, options \\ []), do: command("get_stats", [session], options)

  @doc """
  How the Python process is.

      iex> DSPexErl.health_check!().status
      "healthy"
  """
  @spec health_check(keyword) :: reply
  def health_check(options \\ []), do: command("health_check", [], options)

  @doc """
  Ends the Python process: what runs is finished, what comes is refused. The next call after that finds a new one, without sessions.
  """
  @spec shutdown(keyword) :: reply
  def shutdown(options \\ []), do: command("shutdown", [], options)

  @doc "A session as a plain term without secrets, which `import_session/3` puts into a session of any worker."
  @spec export_session(session, keyword) :: {:ok, map} | {:error, Error.t()}
  def export_session(session, options \\ []) do
    with {:ok, %{snapshot: snapshot}} <- command("export_session", [session], options), do: {:ok, snapshot}
  end

  @doc "Puts a snapshot into a session, in place of the programs that it has."
  @spec import_session(session, map, keyword) :: reply
  def import_session(session, snapshot, options \\ []), do: command("import_session", [session, snapshot], options)

  # -- any Python ------------------------------------------------------------------------------------------------------------------------

  @doc """
  Calls any Python function, as if it were local. The session is for whom it is called; plain functions do not know it.

      iex> DSPexErl.call("doctest", :math, :sqrt, [16])
      {:ok, 4.0}
      iex> {:error, error} = DSPexErl.call("doctest", :math, :sqrt, ["sixteen"])
      iex> {error.reason, error.python_class}
      {:python_runtime_error, "builtins.TypeError"}
  """
  @spec call(session, atom, atom, [term], keyword) :: {:ok, term} | {:error, Error.t()}
  def call(session, module, function, args, options \\ []) do
    {connection, options} = Keyword.pop(options, :connection, Connection)
    Connection.call(connection, module, function, args, Keyword.put(options, :context, %{session_id: session}))
  end

  @doc """
  Calls any Python function and does not wait for it.

      iex> DSPexErl.cast("doctest", :gc, :collect, [])
      :ok
  """
  @spec cast(session, atom, atom, [term], keyword) :: :ok
  def cast(_session, module, function, args, options \\ []) do
    Connection.cast(Keyword.get(options, :connection, Connection), module, function, args)
  end

  @doc """
  Calls any Python function in a task of the caller's; `await/2` waits for it.

      iex> "doctest" |> DSPexErl.async(:math, :sqrt, [16]) |> DSPexErl.await()
      {:ok, 4.0}
  """
  @spec async(session, atom, atom, [term], keyword) :: Task.t()
  def async(session, module, function, args, options \\ []) do
    Task.async(__MODULE__, :call, [session, module, function, args, options])
  end

  @doc "Waits for a call that `async/5` has begun."
  @spec await(Task.t(), timeout) :: {:ok, term} | {:error, Error.t()}
  def await(task, timeout \\ :infinity), do: Task.await(task, timeout)

  # -- bang twins ------------------------------------------------------------------------------------------------------------------------

  for {name, arguments, optional} <- [
        {:create_session, [], [:options]},
        {:destroy_session, [:session], [:options]},
        {:list_sessions, [], [:options]},
        {:get_session_info, [:session], [:options]},
        {:configure_lm, [:session, :lm], [:options]},
        {:create_program, [:session, :program, :spec], [:options]},
        {:execute_program, [:session, :program, :inputs], [:options]},
        {:list_programs, [:session], [:options]},
        {:get_program_info, [:session, :program], [:options]},
        {:delete_program, [:session, :program], [:options]},
        {:clear_program, [:session, :program], [:options]},
        {:reset_programs, [:session], [:options]},
        {:reset_state, [:session], [:options]},
        {:get_stats, [:session], [:options]},
        {:health_check, [], [:options]},
        {:shutdown, [], [:options]},
        {:export_session, [:session], [:options]},
        {:import_session, [:session, :snapshot], [:options]},
        {:call, [:session, :module, :function, :args], [:options]},
        {:await, [:task], [:timeout]}
      ] do
    required = Enum.map(arguments, &Macro.var(&1, __MODULE__))
    [last] = Enum.map(optional, &Macro.var(&1, __MODULE__))
    default = if optional == [:timeout], do: :infinity, else: []

    @doc "As `#{name}/#{length(arguments) + 1}`, but returns the value itself, or raises `DSPexErl.Error`."
    def unquote(:"#{name}!")(unquote_splicing(required), unquote(last) \\ unquote(default)) do
      unwrap!(unquote(name)(unquote_splicing(required), unquote(last)))
    end
  end

  defp unwrap!(:ok), do: :ok
  defp unwrap!({:ok, value}), do: value
  defp unwrap!({:error, error}), do: raise(error)

  # -- commands --------------------------------------------------------------------------------------------------------------------------

  defp command(name, args, options) do
    {connection, options} = Keyword.pop(options, :connection, Connection)
    request_id = Base.encode16(:crypto.strong_rand_bytes(8), case: :lower)
    meta = %{request_id: request_id, traceback: Keyword.get(options, :traceback, false)}

    # What becomes an atom is a name of the package's own, or an output that the caller's signature declares: there is an end to both.
    options =
      Keyword.take(options, [:timeout]) ++
        [atoms: :create, abandon: {:dspex_erl, :cancel, [request_id]}, context: %{request_id: request_id}]

    case Connection.call(connection, :dspex_erl, :invoke, [name, args, meta], options) do
      {:ok, %{status: "ok", value: value}} -> {:ok, value}
      {:ok, %{status: "error", error: error}} -> {:error, Error.from_map(error)}
      {:error, error} -> {:error, error}
    end
  end

  # Keyword lists are maps to everybody but Erlang.
  defp plain([{key, _} | _] = list) when is_atom(key),
    do: if(Keyword.keyword?(list), do: plain(Map.new(list)), else: list)

  defp plain([]), do: %{}
  defp plain(%{__struct__: _} = struct), do: struct
  defp plain(map) when is_map(map), do: Map.new(map, fn {key, value} -> {key, deep(value)} end)
  defp plain(other), do: other

  defp deep([{key, _} | _] = list) when is_atom(key), do: plain(list)
  defp deep([_ | _] = list), do: Enum.map(list, &deep/1)
  defp deep(map) when is_map(map), do: plain(map)
  defp deep(other), do: other
end
