defmodule DSPexErl.Connection do
  @moduledoc """
  One Python process behind a port, for any number of callers at once.

      {:ok, python} = DSPexErl.Connection.start_link([])
      {:ok, 4.0} = DSPexErl.Connection.call(python, :math, :sqrt, [16])

  The process starts Python at the first call, and again at the first call after Python has ended:

  | state | what happens | next state | who hears of it |
  |---|---|---|---|
  | down | a call | up | |
  | up | an answer | up | its caller |
  | up | a deadline, or a caller's death | up | the caller, if it lives; Python is told to stop the work |
  | up | Python ends | down | every caller that waits: `:process_crashed` |

  Each call is answered once. A deadline is kept here, so an answer that comes too late reaches nobody's mailbox.

  ## Options

    * `:name` - as for `GenServer`
    * `:callbacks` - which functions Python may call: a list of `{module, function, arity}`, or `:all`; none by default. Each call runs
      in a process of its own.
    * `:output` - what becomes of what Python prints: `:group_leader` (default), `:logger` or `:none`
    * all options of `DSPexErl.Python`
  """
  use GenServer
  require Logger
  alias DSPexErl.{Error, Protocol, Python}

  @default_timeout 30_000
  @version Mix.Project.config()[:version]
  # Python may ask for these whatever the callbacks are: `erlang.self()` and `erlang.make_ref()`.
  @always [{:erlang, :self, 0}, {:erlang, :make_ref, 0}]

  @type option ::
          {:timeout, timeout} | {:atoms, :existing | :create} | {:abandon, {atom, atom, [term]}} | {:context, map}

  @doc false
  def child_spec(options) do
    %{id: Keyword.get(options, :name, __MODULE__), start: {__MODULE__, :start_link, [options]}, shutdown: 5_000}
  end

  @doc "Starts a connection; Python itself starts at the first call."
  @spec start_link(keyword) :: GenServer.on_start()
  def start_link(options), do: GenServer.start_link(__MODULE__, options, Keyword.take(options, [:name]))

  @doc """
  Calls a Python function and waits for its answer.

  ## Options

    * `:timeout` - milliseconds (default #{@default_timeout}, or `config :dspex_erl, :python_timeout`), or `:infinity`
    * `:atoms` - whether the answer may hold atoms that this node does not know: `:existing` (default) or `:create`
    * `:abandon` - `{module, function, args}` of a Python function to call if the deadline passes or the caller dies
    * `:context` - a map for the `context` of an error
  """
  @spec call(GenServer.server(), atom, atom, [term], [option]) :: {:ok, term} | {:error, Error.t()}
  def call(connection, module, function, args, options \\ [])
      when is_atom(module) and is_atom(function) and is_list(args) do
    GenServer.call(connection, {:call, module, function, args, options}, :infinity)
  catch
    :exit, {reason, {GenServer, :call, _}} ->
      {:error, Error.new(:process_crashed, "expected an answer, but the connection is gone (#{brief(reason)})")}
  end

  @doc "Calls a Python function and does not wait. Whether it fails, nobody hears."
  @spec cast(GenServer.server(), atom, atom, [term]) :: :ok
  def cast(connection, module, function, args) when is_atom(module) and is_atom(function) and is_list(args),
    do: GenServer.cast(connection, {:cast, module, function, args})

  @doc "The process id, in the operating system, of the Python process; `nil` while there is none."
  @spec os_pid(GenServer.server()) :: non_neg_integer | nil
  def os_pid(connection), do: GenServer.call(connection, :os_pid)

  defp brief({reason, _stack}) when is_atom(reason), do: Atom.to_string(reason)
  defp brief(reason) when is_atom(reason), do: Atom.to_string(reason)
  defp brief(_reason), do: "it crashed"

  # -- server ------------------------------------------------------------------------------------------------------------------------

  @impl true
  def init(options) do
    Process.flag(:trap_exit, true)
    {:ok, %{options: options, port: nil, os_pid: nil, next_id: 1, pending: %{}, monitors: %{}, serving: %{}}}
  end

  @impl true
  def handle_call(:os_pid, _from, state), do: {:reply, state.os_pid, state}

  def handle_call({:call, module, function, args, options}, {caller, _tag} = from, state) do
    case up(state) do
      {:ok, state} ->
        monitor = Process.monitor(caller)
        {id, state} = take_id(state)
        waiting = %{from: from, monitor: monitor, timer: start_timer(options, id), options: options}
        state = %{state | pending: Map.put(state.pending, id, waiting), monitors: Map.put(state.monitors, monitor, id)}
        {:noreply, write(state, id, module, function, args)}

      {:error, error} ->
        {:reply, {:error, error}, state}
    end
  end

  @impl true
  def handle_cast({:cast, module, function, args}, state) do
    case up(state) do
      {:ok, state} -> {:noreply, tell(state, module, function, args)}
      {:error, error} -> {:noreply, log(state, :warning, error.message)}
    end
  end

  @impl true
  def handle_info({port, {:data, frame}}, %{port: port} = state) do
    {:noreply, frame |> Protocol.decode(&atoms?(state, &1)) |> handle_event(state)}
  end

  def handle_info({port, {:exit_status, status}}, %{port: port} = state),
    do: {:noreply, down(state, "status #{status}")}

  def handle_info({:EXIT, port, _reason}, %{port: port} = state), do: {:noreply, down(state, "a closed port")}

  def handle_info({:timeout, timer, id}, state) do
    case state.pending do
      %{^id => %{timer: ^timer} = waiting} ->
        timeout = timeout(waiting.options)
        error = Error.new(:timeout_error, "expected an answer within #{timeout} ms, got none", context(waiting))
        {:noreply, state |> abandon(waiting) |> finish(id, {:error, error}) |> forget(id)}

      _answered ->
        {:noreply, state}
    end
  end

  def handle_info({:DOWN, monitor, :process, _pid, _reason}, state) do
    case state.monitors do
      %{^monitor => id} ->
        waiting = state.pending[id]
        {:noreply, state |> abandon(waiting) |> release(id, waiting) |> forget(id)}

      _other ->
        {:noreply, state}
    end
  end

  def handle_info({:served, id, answer}, state) do
    state = %{state | serving: Map.delete(state.serving, id)}
    {:noreply, respond(state, id, answer)}
  end

  def handle_info({:EXIT, _pid, _reason}, state), do: {:noreply, state}
  def handle_info(_message, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state) do
    if state.port, do: close(state.port)
    down(%{state | port: nil}, "the end of its connection")
  end

  # -- up and down ---------------------------------------------------------------------------------------------------------------------

  defp up(%{port: nil} = state) do
    with {:ok, {executable, arguments, environment}} <- Python.command(state.options) do
      port =
        Port.open({:spawn_executable, executable}, [
          :binary,
          :exit_status,
          :hide,
          :use_stdio,
          packet: 4,
          args: arguments,
          env: environment
        ])

      os_pid = with {:os_pid, os_pid} <- Port.info(port, :os_pid), do: os_pid
      {id, state} = take_id(%{state | port: port, os_pid: os_pid})
      state = %{state | pending: Map.put(state.pending, id, :handshake)}
      {:ok, write(state, id, :dspex_erl, :"__version__.__str__", [])}
    end
  end

  defp up(state), do: {:ok, state}

  defp down(state, how) do
    error = Error.new(:process_crashed, "expected an answer, but the Python process ended with #{how}")

    for {_id, %{from: from, monitor: monitor, timer: timer} = waiting} <- state.pending do
      if timer, do: :erlang.cancel_timer(timer)
      Process.demonitor(monitor, [:flush])
      GenServer.reply(from, {:error, %{error | context: context(waiting)}})
    end

    for {_id, pid} <- state.serving, do: Process.exit(pid, :kill)
    %{state | port: nil, os_pid: nil, pending: %{}, monitors: %{}, serving: %{}}
  end

  defp close(port) do
    Port.close(port)
  rescue
    ArgumentError -> true
  end

  # -- what Python says ------------------------------------------------------------------------------------------------------------------

  defp handle_event({:answer, id, outcome}, state) do
    case state.pending do
      %{^id => :handshake} -> handshake(outcome, forget(state, id))
      %{^id => :ignore} -> forget(state, id)
      %{^id => waiting} -> state |> finish(id, result(outcome, waiting)) |> forget(id)
      # The caller is gone, or was told that its time is over.
      _nobody -> state
    end
  end

  defp handle_event({:call, id, module, function, args, where}, state) do
    callback = {module, function, length(args)}

    cond do
      where == :server and callback in @always -> respond(state, id, {:ok, apply(module, function, args)})
      allowed?(callback, state) -> serve(state, id, callback, args)
      true -> respond(state, id, {:error, refusal(callback)})
    end
  end

  defp handle_event({:message, destination, message}, state) do
    if is_pid(destination), do: send(destination, message)
    state
  end

  defp handle_event({:printed, text}, state) do
    case Keyword.get(state.options, :output, :group_leader) do
      :group_leader -> IO.write(text)
      :logger -> Logger.info(text)
      :none -> :ok
    end

    state
  end

  defp handle_event({:handler_error, error}, state), do: log(state, :error, Error.from_python(error).message)
  defp handle_event({:invalid, sentence}, state), do: log(state, :error, sentence)

  defp handshake({:ok, @version}, state), do: state

  defp handshake(outcome, state) do
    found = with {:ok, version} <- outcome, do: "version #{version}", else: (_ -> "an error")

    error =
      Error.new(
        :import_error,
        "expected the Python package dspex_erl #{@version}, got #{found}; `mix dspex_erl.setup` installs the right one"
      )

    state = Enum.reduce(Map.keys(state.pending), state, &finish(&2, &1, {:error, error}))
    close(state.port)
    down(%{state | port: nil}, "another version")
  end

  defp result({:ok, value}, _waiting), do: {:ok, value}
  defp result({:error, error}, waiting), do: {:error, Error.from_python(error, context(waiting))}

  defp result(:undecodable, waiting) do
    sentence = "expected an answer without new atoms, got one with some; `atoms: :create` lets it make them"
    {:error, Error.new(:serialization_error, sentence, context(waiting))}
  end

  # -- calls that wait -------------------------------------------------------------------------------------------------------------------

  defp finish(state, id, reply) do
    case state.pending[id] do
      %{from: from} = waiting ->
        GenServer.reply(from, reply)
        release(state, id, waiting)

      _nobody ->
        state
    end
  end

  defp release(state, _id, %{monitor: monitor, timer: timer}) do
    if timer, do: :erlang.cancel_timer(timer)
    Process.demonitor(monitor, [:flush])
    %{state | monitors: Map.delete(state.monitors, monitor)}
  end

  defp forget(state, id), do: %{state | pending: Map.delete(state.pending, id)}

  defp abandon(state, waiting) do
    case waiting.options[:abandon] do
      {module, function, args} -> tell(state, module, function, args)
      nil -> state
    end
  end

  defp tell(state, module, function, args) do
    {id, state} = take_id(state)
    write(%{state | pending: Map.put(state.pending, id, :ignore)}, id, module, function, args)
  end

  defp take_id(state), do: {state.next_id, %{state | next_id: state.next_id + 1}}

  defp timeout(options), do: options[:timeout] || Application.get_env(:dspex_erl, :python_timeout, @default_timeout)

  defp start_timer(options, id) do
    case timeout(options) do
      :infinity -> nil
      milliseconds -> :erlang.start_timer(milliseconds, self(), id)
    end
  end

  defp atoms?(state, id) do
    case state.pending do
      %{^id => %{options: options}} -> options[:atoms] == :create
      _other -> false
    end
  end

  defp context(%{options: options}), do: options[:context] || %{}

  # -- calls from Python -----------------------------------------------------------------------------------------------------------------

  defp allowed?(callback, state) do
    case Keyword.get(state.options, :callbacks, []) do
      :all -> true
      callbacks -> callback in callbacks
    end
  end

  defp serve(state, id, {module, function, _arity}, args) do
    server = self()
    pid = spawn_link(fn -> send(server, {:served, id, outcome(module, function, args)}) end)
    %{state | serving: Map.put(state.serving, id, pid)}
  end

  defp outcome(module, function, args) do
    {:ok, apply(module, function, args)}
  catch
    class, reason -> {:error, {:erlang, class, Exception.format_banner(class, reason), []}}
  end

  defp refusal({module, function, arity}) do
    {:erlang, :error, "expected a function that Python may call, got #{inspect(module)}.#{function}/#{arity}", []}
  end

  defp respond(%{port: nil} = state, _id, _answer), do: state

  defp respond(state, id, answer) do
    command(state, Protocol.answer(id, answer))
  end

  # -- writing ---------------------------------------------------------------------------------------------------------------------------

  defp write(state, id, module, function, args), do: command(state, Protocol.call(id, module, function, args))

  # The port may have closed a moment ago; its last message, which says so, is on its way.
  defp command(state, data) do
    Port.command(state.port, data)
    state
  rescue
    ArgumentError -> state
  end

  defp log(state, level, sentence) do
    Logger.log(level, "DSPexErl: #{sentence}")
    state
  end
end
