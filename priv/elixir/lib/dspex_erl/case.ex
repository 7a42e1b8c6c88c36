defmodule DSPexErl.Case do
  @moduledoc """
  A test case in which every test has a session of its own.

      defmodule MyTest do
        use DSPexErl.Case, async: true

        test "answers", %{session: session} do
          DSPexErl.create_program!(session, "qa", "question -> answer")
          assert %{result: %{answer: "Why?"}} = DSPexErl.execute_program!(session, "qa", %{question: "Why?"})
        end
      end

  The session's model is `echo`; `@tag dspex: [lm: %{model: "scripted", answers: […]}]` says otherwise, with the options of
  `DSPexErl.create_session/1`. It is destroyed after the test, with all that still runs in it. `@tag dspex: false` makes no session.

  With `@tag dspex: [python: true]` the test has a Python process of its own as well, as `%{connection: pid}`, and fails if that process
  is still there two seconds after its end.
  """
  use ExUnit.CaseTemplate

  alias DSPexErl.Connection

  setup context do
    case Map.get(context, :dspex, []) do
      false -> :ok
      options -> {:ok, prepare(options)}
    end
  end

  defp prepare(options) do
    {own, options} = Keyword.split(options, [:python])
    connection = if own[:python], do: start_own(if(own[:python] == true, do: [], else: own[:python])), else: Connection
    options = Keyword.merge([lm: %{model: "echo"}, connection: connection], options)
    session = DSPexErl.create_session!(options)
    unless own[:python], do: ExUnit.Callbacks.on_exit(fn -> DSPexErl.destroy_session(session) end)
    if own[:python], do: [session: session, connection: connection], else: [session: session]
  end

  defp start_own(options) do
    connection = ExUnit.Callbacks.start_supervised!({Connection, options}, restart: :temporary)
    {:ok, _} = Connection.call(connection, :os, :getpid, [])
    os_pid = Connection.os_pid(connection)
    ExUnit.Callbacks.on_exit(fn -> assert_gone(os_pid) end)
    connection
  end

  @doc """
  Returns when the process of that id is gone; fails after two seconds.
  """
  @spec assert_gone(non_neg_integer, non_neg_integer) :: :ok
  def assert_gone(os_pid, patience \\ 2_000) do
    await(fn -> not File.exists?("/proc/#{os_pid}") end, patience, "the Python process #{os_pid} to end")
  end

  @doc "Asks until the answer is true; fails after `patience` milliseconds."
  @spec await((() -> boolean), non_neg_integer, String.t()) :: :ok
  def await(condition, patience \\ 2_000, what \\ "a condition") do
    deadline = System.monotonic_time(:millisecond) + patience
    poll(condition, deadline, what)
  end

  defp poll(condition, deadline, what) do
    cond do
      condition.() ->
        :ok

      System.monotonic_time(:millisecond) > deadline ->
        raise ExUnit.AssertionError, message: "waited in vain for #{what}"

      true ->
        Process.sleep(5) && poll(condition, deadline, what)
    end
  end
end
