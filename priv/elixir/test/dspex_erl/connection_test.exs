defmodule DSPexErl.ConnectionTest do
  use ExUnit.Case, async: true
  alias DSPexErl.{Case, Connection, Error}

  @python Path.expand("../python", __DIR__)

  def double(number), do: 2 * number

  setup context do
    options = Keyword.merge([python_path: @python], context[:connection] || [])
    connection = start_supervised!({Connection, options}, restart: :temporary)
    %{connection: connection}
  end

  defp call(connection, function, args, options \\ []),
    do: Connection.call(connection, :dspex_exunit, function, args, options)

  test "terms there and back", %{connection: connection} do
    for term <- [
          1,
          -1.5,
          "text",
          <<255>>,
          [1, [2]],
          {:ok, "x"},
          %{"a" => [true, nil]},
          self(),
          make_ref(),
          2 ** 100,
          :atom
        ] do
      assert {:ok, ^term} = call(connection, :echo, [term])
    end
  end

  test "many callers, answers in any order", %{connection: connection} do
    tasks = for seconds <- [0.3, 0.2, 0.1], do: Task.async(fn -> call(connection, :sleep, [seconds]) end)
    assert Task.await_many(tasks) == [ok: 0.3, ok: 0.2, ok: 0.1]
  end

  test "an exception, whatever its class", %{connection: connection} do
    assert {:error, %Error{reason: :python_runtime_error} = error} = call(connection, :fail, ["oh"])
    assert error.python_class == "dspex_exunit.OddError"
    assert error.message == "OddError: oh"
    assert error.traceback =~ "dspex_exunit.py"
    assert_raise ArgumentError, fn -> String.to_existing_atom("dspex_exunit" <> ".OddError") end
  end

  test "no new atoms unless asked for", %{connection: connection} do
    name = "new_atom_#{System.unique_integer([:positive])}"
    assert {:error, %Error{reason: :serialization_error}} = call(connection, :atom, [name])
    assert {:ok, atom} = call(connection, :atom, [name], atoms: :create)
    assert Atom.to_string(atom) == name
  end

  test "a deadline, and no answer after it", %{connection: connection} do
    assert {:error, %Error{reason: :timeout_error, recovery_strategy: :retry}} =
             call(connection, :sleep, [0.2], timeout: 20)

    # The next answer comes after the late one.
    assert {:ok, 0.3} = call(connection, :sleep, [0.3])
    refute_received _anything
  end

  test "an import that fails", %{connection: connection} do
    assert {:error, %Error{reason: :import_error, error_type: :import_error}} =
             Connection.call(connection, :no_such_module, :f, [])
  end

  test "Python dies: who waits is told, the next call finds another", %{connection: connection} do
    {:ok, first} = Connection.call(connection, :os, :getpid, [])
    waiting = Task.async(fn -> call(connection, :sleep, [60]) end)
    assert {:ok, 1} = call(connection, :echo, [1])
    assert {:error, %Error{reason: :process_crashed, message: message}} = call(connection, :kill, [])
    assert message =~ "137" or message =~ "status"
    assert {:error, %Error{reason: :process_crashed}} = Task.await(waiting)
    {:ok, second} = Connection.call(connection, :os, :getpid, [])
    assert second != first
    Case.assert_gone(first)
  end

  test "the connection ends: so does Python, however busy, and who waits is told", %{connection: connection} do
    {:ok, os_pid} = Connection.call(connection, :os, :getpid, [])
    waiting = Task.async(fn -> call(connection, :busy, []) end)
    assert {:ok, 1} = call(connection, :echo, [1])
    stop_supervised!(Connection)
    assert {:error, %Error{reason: :process_crashed}} = Task.await(waiting)
    Case.assert_gone(os_pid, 4_000)
  end

  test "the connection is killed: Python ends all the same", %{connection: connection} do
    {:ok, os_pid} = Connection.call(connection, :os, :getpid, [])
    Process.exit(connection, :kill)
    Case.assert_gone(os_pid, 4_000)
  end

  @tag connection: [python_executable: "no-such-python"]
  test "no Python", %{connection: connection} do
    assert {:error, %Error{reason: :import_error, message: message}} = call(connection, :echo, [1])
    assert message =~ "no-such-python"
  end

  test "another version of the package" do
    folder = Path.join(System.tmp_dir!(), "dspex_other_version_#{System.unique_integer([:positive])}")
    File.mkdir_p!(Path.join(folder, "dspex_erl"))
    on_exit(fn -> File.rm_rf!(folder) end)
    find = "import sys, os; sys.path.append(sys.argv[1]); import dspex_erl; print(os.path.dirname(dspex_erl.__file__))"
    {real, 0} = System.cmd(DSPexErl.Python.executable(), ["-c", find, DSPexErl.Python.bundled()])
    real = String.trim(real)

    for entry <- File.ls!(real),
        entry != "__init__.py",
        do: File.ln_s!(Path.join(real, entry), Path.join([folder, "dspex_erl", entry]))

    File.write!(Path.join([folder, "dspex_erl", "__init__.py"]), ~s(__version__ = "9.9.9"\n))
    connection = start_supervised!({Connection, [python_path: folder]}, id: :other, restart: :temporary)
    assert {:error, %Error{reason: :import_error, message: message}} = Connection.call(connection, :math, :sqrt, [16])
    assert message =~ "9.9.9"
  end

  describe "Python calls Elixir" do
    test "nothing, unless it may", %{connection: connection} do
      assert {:error, %Error{reason: :python_runtime_error, message: message}} =
               call(connection, :call_erlang, ["Elixir.DSPexErl.ConnectionTest", "double", [2]])

      assert message =~ "may call"
    end

    @tag connection: [callbacks: [{__MODULE__, :double, 1}]]
    test "what it may", %{connection: connection} do
      assert {:ok, 4} = call(connection, :call_erlang, ["Elixir.DSPexErl.ConnectionTest", "double", [2]])
      assert {:error, _} = call(connection, :call_erlang, ["Elixir.System", "halt", []])
    end

    @tag connection: [callbacks: :all]
    test "and hears of what goes wrong", %{connection: connection} do
      assert {:error, %Error{message: message}} =
               call(connection, :call_erlang, ["Elixir.DSPexErl.ConnectionTest", "double", ["x"]])

      assert message =~ "ArithmeticError" or message =~ "arithmetic"
    end

    test "a message to a process", %{connection: connection} do
      assert {:ok, nil} = call(connection, :tell, [self(), "hello"])
      assert_receive "hello"
    end
  end

  test "what Python prints is printed here", %{connection: _} do
    printed =
      ExUnit.CaptureIO.capture_io(fn ->
        {:ok, connection} = Connection.start_link(python_path: @python)
        {:ok, nil} = call(connection, :say, ["hello"])
        GenServer.stop(connection)
      end)

    assert printed =~ "hello"
  end

  test "cast", %{connection: connection} do
    assert :ok = Connection.cast(connection, :dspex_exunit, :tell, [self(), "from a cast"])
    assert_receive "from a cast"
  end
end
