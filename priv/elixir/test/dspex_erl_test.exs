defmodule DSPexErlTest do
  use DSPexErl.Case, async: true
  alias DSPexErl.Error

  doctest DSPexErl
  doctest DSPexErl.Error
  doctest DSPexErl.Protocol

  describe "sessions" do
    test "an id of the caller's" do
      assert {:ok, "of mine"} = DSPexErl.create_session(id: "of mine")
      assert {:error, %Error{reason: :session_exists}} = DSPexErl.create_session(id: "of mine")
      assert :ok = DSPexErl.destroy_session("of mine")
    end

    test "the sessions of one user", %{session: other} do
      user = "user #{System.unique_integer()}"
      session = DSPexErl.create_session!(user_id: user)
      assert {:ok, [^session]} = DSPexErl.list_sessions(user_id: user)
      assert other in DSPexErl.list_sessions!()
      assert %{user_id: ^user, state: "running", programs_count: 0} = DSPexErl.get_session_info!(session)
      DSPexErl.destroy_session!(session)
    end

    test "options are checked before anything is made" do
      assert {:error, %Error{reason: :bad_request, message: message}} = DSPexErl.create_session(id: "none", ttl: -1)
      assert message =~ "ttl"
      assert {:error, %Error{reason: :session_not_found}} = DSPexErl.get_session_info("none")
    end

    test "two users with the same program id" do
      for user <- ["alice", "bob"] do
        DSPexErl.create_session!(id: user, lm: %{model: "scripted", answers: [%{answer: "from #{user}"}]})
        DSPexErl.create_program!(user, "qa", "question -> answer")
      end

      for user <- ["alice", "bob"] do
        assert %{result: %{answer: "from " <> ^user}} = DSPexErl.execute_program!(user, "qa", %{question: "Who?"})
        assert :ok = DSPexErl.destroy_session(user)
      end
    end
  end

  describe "the worker" do
    @tag dspex: [python: true]
    test "shuts down, and the next call finds another", %{session: session, connection: connection} do
      first = DSPexErl.Connection.os_pid(connection)
      assert %{status: "stopping"} = DSPexErl.shutdown!(connection: connection)
      DSPexErl.Case.await(fn -> DSPexErl.Connection.os_pid(connection) == nil end)
      DSPexErl.Case.assert_gone(first)
      assert {:error, %Error{reason: :session_not_found}} = DSPexErl.get_session_info(session, connection: connection)
      assert DSPexErl.Connection.os_pid(connection) != first
    end

    test "is healthy, and says what it is" do
      assert %{status: "healthy", dspy: "3.4" <> _, version: version, pid: pid} = DSPexErl.health_check!()
      assert version == to_string(Application.spec(:dspex_erl, :vsn))
      assert pid == DSPexErl.Connection.os_pid(DSPexErl.Connection)
    end
  end

  describe "programs" do
    test "atoms in, atoms out; binaries in, binaries out", %{session: session} do
      DSPexErl.create_program!(session, "qa", "question -> answer")
      assert %{answer: "Why?"} == DSPexErl.execute_program!(session, "qa", %{question: "Why?"}).result
      assert %{"answer" => "Why?"} == DSPexErl.execute_program!(session, "qa", %{"question" => "Why?"}).result
      assert %{answer: "Why?"} == DSPexErl.execute_program!(session, "qa", question: "Why?").result
    end

    @tag dspex: [lm: %{model: "scripted", answers: [%{mood: "bad", score: 0.5, tags: ["a"]}]}]
    test "typed outputs", %{session: session} do
      DSPexErl.create_program!(session, :mood, "text -> mood: Literal['good', 'bad'], score: float, tags: list[str]")
      assert %{mood: "bad", score: 0.5, tags: ["a"]} = DSPexErl.execute_program!(session, :mood, %{text: "oh"}).result
    end

    test "a spec as a keyword list", %{session: session} do
      spec = [signature: [inputs: [[name: "q", type: "str"]], outputs: [[name: "a"]]], instructions: "Be brief."]
      assert %{signature: "q -> a"} = DSPexErl.create_program!(session, "p", spec)
      assert %{module: "predict", executions: 0} = DSPexErl.get_program_info!(session, "p")
    end

    test "what bad input gets", %{session: session} do
      DSPexErl.create_program!(session, "qa", "question -> answer")

      for {reason, result} <- [
            program_exists: DSPexErl.create_program(session, "qa", "a -> b"),
            bad_signature: DSPexErl.create_program(session, "x", "x: this.s -> a"),
            unknown_module: DSPexErl.create_program(session, "x", %{signature: "q -> a", module: "os.system"}),
            bad_input: DSPexErl.execute_program(session, "qa", %{}),
            bad_input: DSPexErl.execute_program(session, "qa", %{question: 7}),
            program_not_found: DSPexErl.execute_program(session, "none", %{}),
            program_not_found: DSPexErl.delete_program(session, "none"),
            bad_request: DSPexErl.execute_program(session, "qa", %{question: "?"}, config: %{temperature: "hot"}),
            snapshot_invalid: DSPexErl.import_session(session, %{"version" => 99})
          ] do
        assert {:error, %Error{reason: ^reason, error_type: :bad_request, context: context}} = result
        assert %{session_id: ^session, worker_id: "worker_" <> _} = context
      end

      assert DSPexErl.list_programs!(session).programs == ["qa"]
    end

    test "a bang raises what the other returns", %{session: session} do
      assert_raise Error, ~r/none/, fn -> DSPexErl.execute_program!(session, "none", %{}) end
    end

    @tag dspex: [lm: %{model: "scripted", num_retries: 0, answers: [%{error: "rate_limited", retry_after_ms: 1500}]}]
    test "a model that asks for patience", %{session: session} do
      DSPexErl.create_program!(session, "qa", "question -> answer")

      assert {:error,
              %Error{reason: :rate_limited, error_type: :lm_error, recovery_strategy: :retry, retry_after_ms: 1500}} =
               DSPexErl.execute_program(session, "qa", %{question: "Why?"})
    end

    @tag dspex: [lm: %{model: "scripted", answers: [%{delay_ms: 60_000, answer: "late"}]}]
    test "a deadline", %{session: session} do
      DSPexErl.create_program!(session, "qa", "question -> answer")

      assert {:error, %Error{reason: :timeout_error}} =
               DSPexErl.execute_program(session, "qa", %{question: "Why?"}, timeout: 50)
    end

    @tag dspex: [lm: %{model: "scripted", answers: [%{delay_ms: 600_000, answer: "never"}]}, python: true]
    test "a caller that dies takes its run with it", %{session: session, connection: connection} do
      DSPexErl.create_program!(session, "qa", "question -> answer", connection: connection)
      in_flight = fn -> DSPexErl.health_check!(connection: connection).in_flight end
      caller = spawn(fn -> DSPexErl.execute_program(session, "qa", %{question: "Why?"}, connection: connection) end)
      DSPexErl.Case.await(fn -> in_flight.() == 1 end)
      Process.exit(caller, :kill)
      DSPexErl.Case.await(fn -> in_flight.() == 0 end)
    end

    @tag dspex: [lm: %{model: "scripted", cache: false, answers: [%{answer: "one"}, %{answer: "two"}]}]
    test "the same key, the same reply", %{session: session} do
      DSPexErl.create_program!(session, "qa", "question -> answer")
      ask = fn key -> DSPexErl.execute_program!(session, "qa", %{question: "Who?"}, idempotency_key: key) end
      first = ask.("a")
      assert %{result: %{answer: "one"}} = first
      assert ask.("a") == first
      assert %{result: %{answer: "two"}} = ask.("b")
    end

    test "there and back as a snapshot", %{session: session} do
      DSPexErl.create_program!(session, "qa", "question -> answer")
      snapshot = DSPexErl.export_session!(session)
      other = DSPexErl.create_session!()
      assert %{programs_count: 1} = DSPexErl.import_session!(other, snapshot)
      assert %{result: %{answer: "Why?"}} = DSPexErl.execute_program!(other, "qa", %{question: "Why?"})
      DSPexErl.destroy_session!(other)
    end

    test "a hundred sessions at once" do
      answers =
        1..100
        |> Task.async_stream(
          fn number ->
            slow = %{model: "scripted", answers: [%{delay_ms: 200, answer: "#{number}"}]}
            session = DSPexErl.create_session!(lm: slow)
            DSPexErl.create_program!(session, "qa", "question -> answer")
            reply = DSPexErl.execute_program!(session, "qa", %{question: "Who?"})
            DSPexErl.destroy_session!(session)
            reply.result.answer
          end,
          max_concurrency: 100,
          timeout: 60_000
        )
        |> Enum.map(fn {:ok, answer} -> answer end)

      assert answers == Enum.map(1..100, &Integer.to_string/1)
    end
  end
end
