# DSPy from Elixir, on a language model that runs inside the Python process: no key, no network.
#
# `priv/run demo` runs this with everything it needs installed; `mix run ../demo/demo.exs` does in priv/elixir, with DSPEX_PYTHON
# set to a Python that has dspex_erl[local].

defmodule Demo do
  @model %{model: "local"}

  def main do
    title("A worker: one Python process, supervised")
    health = DSPexErl.health_check!()
    say("Python #{health.python} with DSPy #{health.dspy}, process #{health.pid}")

    two_users()
    typed_classification()
    fifty_at_once()
    a_reset()
    bad_inputs()
    title("That was it")
  end

  defp two_users do
    title("Two users, one program id, two answers")

    for {user, signature, instructions} <- [
          {"alice", "question -> answer", "Answer with the name of one city."},
          {"bob", "question -> answer: int", "Answer with a number."}
        ] do
      DSPexErl.create_session!(id: user, lm: @model)
      DSPexErl.create_program!(user, "qa", %{signature: signature, instructions: instructions})
    end

    for {user, question} <- [{"alice", "Which city is the capital of France?"}, {"bob", "How many days has a week?"}] do
      reply = DSPexErl.execute_program!(user, "qa", %{question: question})

      say(
        "#{user}: #{question} #{inspect(reply.result.answer)}   (#{round(reply.duration_ms)} ms, #{reply.usage.total_tokens} tokens)"
      )
    end
  end

  defp typed_classification do
    title("A classification that can only give one of its labels")
    session = DSPexErl.create_session!(lm: @model)

    DSPexErl.create_program!(session, "mood", %{
      signature: "text -> mood: Literal['positive', 'negative']",
      instructions: "Say whether the text is positive or negative.",
      demos: [
        %{text: "The worst day of my life.", mood: "negative"},
        %{text: "What a wonderful surprise!", mood: "positive"}
      ]
    })

    for text <- ["I love this library.", "It crashed and I lost all my work."] do
      %{result: %{mood: mood}} = DSPexErl.execute_program!(session, "mood", %{text: text})
      say("#{String.pad_trailing(mood, 8)}  #{text}")
    end

    DSPexErl.destroy_session!(session)
  end

  defp fifty_at_once do
    title("50 calls at once on one worker, each in a session of its own")
    parent = self()
    begun = System.monotonic_time(:millisecond)

    tasks =
      for number <- 1..50 do
        Task.async(fn ->
          session = DSPexErl.create_session!(lm: @model)
          DSPexErl.create_program!(session, "double", "number: int -> double: int")

          %{result: %{double: double}} =
            DSPexErl.execute_program!(session, "double", %{number: number}, timeout: 300_000)

          DSPexErl.destroy_session!(session)
          send(parent, :done)
          double
        end)
      end

    progress(50)
    answers = Task.await_many(tasks, 300_000)
    seconds = (System.monotonic_time(:millisecond) - begun) / 1000

    say(
      "#{Enum.count(answers, &is_integer/1)} integers in #{Float.round(seconds, 1)} s; the model computes on one core"
    )
  end

  defp progress(total), do: progress(total, 0)

  defp progress(total, total), do: IO.write("\n")

  defp progress(total, count) do
    receive do
      :done ->
        IO.write("\r    #{count + 1} of #{total} answered")
        progress(total, count + 1)
    end
  end

  defp a_reset do
    title("A reset, as a test would do it")
    %{cleared_programs: count} = DSPexErl.reset_programs!("alice")
    say("alice had #{count} program; bob still has #{DSPexErl.list_programs!("bob").count}")
    DSPexErl.create_program!("alice", "qa", "question -> answer")
    say("alice makes another one of the same id")
  end

  defp bad_inputs do
    title("What bad input gets")

    for {what, result} <- [
          {"an input of the wrong type", DSPexErl.execute_program("alice", "qa", %{question: 42})},
          {"a program that is there already", DSPexErl.create_program("alice", "qa", "question -> answer")},
          {"a type that would be an import", DSPexErl.create_program("alice", "evil", "question: os.system -> answer")},
          {"a program that is not there", DSPexErl.execute_program("bob", "poem", %{topic: "ports"})}
        ] do
      {:error, %DSPexErl.Error{} = error} = result
      say("#{what}: #{inspect(error.reason)}\n      #{Exception.message(error)}")
    end
  end

  defp title(text), do: IO.puts("\n#{text}")
  defp say(text), do: IO.puts("    #{text}")
end

Demo.main()
