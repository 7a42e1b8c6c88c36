defmodule DSPexErl.Error do
  @moduledoc """
  What went wrong, in a form that a program can act on. Every function of this library returns it in `{:error, error}`, and its bang
  twin raises it.

    * `reason` - one of `reasons/0`
    * `error_type` - the kind: `:bad_request`, `:lm_error`, `:python_runtime_error`, `:serialization_error`, `:timeout_error`,
      `:process_crashed`, `:import_error` or `:dspy_optimization_error`
    * `message` - one sentence: what was expected, what came, and where
    * `context` - `session_id`, `program_id`, `worker_id`, `request_id`, `attempt`, as far as they are known
    * `recovery_strategy` - `:retry`, `:fallback`, `:restart_process` or `:fatal`
    * `retry_after_ms` - when the language model's server said so
    * `traceback` - Python's, where it was asked for, and for errors of your own Python functions
    * `python_class` - the exception's class, for errors of your own Python functions

  An error holds no keys and no prompts.
  """

  @reasons ~w(
    session_not_found session_exists session_limit program_not_found program_exists program_limit bad_signature bad_input bad_request
    unknown_module unknown_command unknown_optimizer snapshot_invalid rate_limited lm_auth lm_unavailable lm_refused context_window
    lm_parse dspy_optimization_error python_runtime_error serialization_error timeout_error cancelled process_crashed import_error
    pool_exhausted worker_busy limit_exceeded variable_conflict variable_invalid tool_error
  )a
  @types ~w(
    bad_request lm_error dspy_optimization_error python_runtime_error serialization_error timeout_error process_crashed import_error
  )a
  @strategies ~w(retry fallback restart_process fatal)a

  # Texts that come from Python become atoms by way of these tables alone.
  @by_text Map.new(@reasons ++ @types ++ @strategies, &{Atom.to_string(&1), &1})

  # Classes of the Python package that a plain call can meet; the commands of sessions and programs send their errors as data.
  @classes %{
    "dspex_erl.errors.BadInput" => :bad_input,
    "dspex_erl.errors.BadRequest" => :bad_request,
    "dspex_erl.errors.BadSignature" => :bad_signature,
    "dspex_erl.errors.Cancelled" => :cancelled,
    "dspex_erl.errors.ContextWindow" => :context_window,
    "dspex_erl.errors.DecodeError" => :serialization_error,
    "dspex_erl.errors.DecodeLimitError" => :limit_exceeded,
    "dspex_erl.errors.EncodeError" => :serialization_error,
    "dspex_erl.errors.EncodeLimitError" => :limit_exceeded,
    "dspex_erl.errors.ImportFailed" => :import_error,
    "dspex_erl.errors.LMAuth" => :lm_auth,
    "dspex_erl.errors.LMParse" => :lm_parse,
    "dspex_erl.errors.LMRefused" => :lm_refused,
    "dspex_erl.errors.LMUnavailable" => :lm_unavailable,
    "dspex_erl.errors.ProgramExists" => :program_exists,
    "dspex_erl.errors.ProgramLimit" => :program_limit,
    "dspex_erl.errors.ProgramNotFound" => :program_not_found,
    "dspex_erl.errors.RateLimited" => :rate_limited,
    "dspex_erl.errors.SessionExists" => :session_exists,
    "dspex_erl.errors.SessionLimit" => :session_limit,
    "dspex_erl.errors.SessionNotFound" => :session_not_found,
    "dspex_erl.errors.SnapshotInvalid" => :snapshot_invalid,
    "dspex_erl.errors.TimeoutExpired" => :timeout_error,
    "dspex_erl.errors.TruncatedError" => :serialization_error,
    "dspex_erl.errors.UnknownCommand" => :unknown_command,
    "dspex_erl.errors.UnknownModule" => :unknown_module,
    "dspex_erl.errors.WorkerStopping" => :cancelled,
    "builtins.ImportError" => :import_error,
    "builtins.ModuleNotFoundError" => :import_error
  }

  # reason => {error_type, recovery_strategy}, for errors that come without them. All others are bad requests, for which nothing helps.
  @kinds %{
    python_runtime_error: {:python_runtime_error, :fatal},
    serialization_error: {:serialization_error, :fatal},
    limit_exceeded: {:serialization_error, :fatal},
    timeout_error: {:timeout_error, :retry},
    cancelled: {:python_runtime_error, :fatal},
    process_crashed: {:process_crashed, :retry},
    import_error: {:import_error, :fatal},
    rate_limited: {:lm_error, :retry},
    lm_unavailable: {:lm_error, :retry},
    lm_parse: {:lm_error, :retry},
    lm_auth: {:lm_error, :fatal},
    lm_refused: {:lm_error, :fallback},
    context_window: {:lm_error, :fallback}
  }

  defexception [
    :reason,
    :error_type,
    :message,
    :traceback,
    :recovery_strategy,
    :retry_after_ms,
    :python_class,
    context: %{}
  ]

  @type t :: %__MODULE__{
          reason: atom,
          error_type: atom,
          message: String.t(),
          traceback: String.t() | nil,
          context: map,
          recovery_strategy: :retry | :fallback | :restart_process | :fatal,
          retry_after_ms: non_neg_integer | nil,
          python_class: String.t() | nil
        }

  @impl true
  def message(%__MODULE__{message: message}), do: message

  @doc """
  All reasons that an error can have.

      iex> :session_not_found in DSPexErl.Error.reasons()
      true
  """
  @spec reasons() :: [atom]
  def reasons, do: @reasons

  @doc """
  An error of this side.

      iex> DSPexErl.Error.new(:timeout_error, "expected an answer within 5 ms, got none").recovery_strategy
      :retry
  """
  @spec new(atom, String.t(), map) :: t
  def new(reason, message, context \\ %{}) when reason in @reasons do
    {type, strategy} = Map.get(@kinds, reason, {:bad_request, :fatal})
    %__MODULE__{reason: reason, error_type: type, recovery_strategy: strategy, message: message, context: context}
  end

  @doc "The error that a command sent as data."
  @spec from_map(map) :: t
  def from_map(%{reason: reason, error_type: type, message: message, recovery_strategy: strategy} = map) do
    %__MODULE__{
      reason: Map.get(@by_text, reason, :python_runtime_error),
      error_type: Map.get(@by_text, type, :python_runtime_error),
      message: message,
      traceback: map[:traceback],
      context: for({key, value} <- map[:context] || %{}, value != nil, into: %{}, do: {key, value}),
      recovery_strategy: Map.get(@by_text, strategy, :fatal),
      retry_after_ms: map[:retry_after_ms]
    }
  end

  @doc """
  The error that a Python function raised, in ErlPort's form.

      iex> DSPexErl.Error.from_python({:python, :"builtins.ZeroDivisionError", "division by zero", []}).reason
      :python_runtime_error
  """
  @spec from_python(term, map) :: t
  def from_python(error, context \\ %{})

  def from_python({:python, class, message, trace}, context) do
    class = to_text(class)
    reason = Map.get(@classes, class, :python_runtime_error)
    said = to_text(message)
    text = if String.starts_with?(class, "dspex_erl."), do: said, else: "#{short(class)}: #{said}"
    error = new(reason, text, context)
    %{error | python_class: class, traceback: trace |> List.wrap() |> Enum.reverse() |> Enum.map_join(&to_text/1)}
  end

  def from_python(_other, context),
    do: new(:python_runtime_error, "expected an error in ErlPort's form, got another term", context)

  defp short(class), do: class |> String.split(".") |> List.last()

  defp to_text(text) when is_binary(text), do: text
  defp to_text(atom) when is_atom(atom), do: Atom.to_string(atom)
  defp to_text(list) when is_list(list), do: to_string(list)
  defp to_text(_other), do: ""
end
