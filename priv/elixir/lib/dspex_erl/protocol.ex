defmodule DSPexErl.Protocol do
  @moduledoc """
  The frames between Elixir and a Python worker: ErlPort's tuples in Erlang's external format. No process, no I/O.

  | frame | direction | meaning |
  |---|---|---|
  | `{:C, id, module, function, args}` | to Python | a call |
  | `{:r, id, value}`, `{:e, id, error}` | both | its answer |
  | `{:C, id, module, function, args, context}` | from Python | a call of a function here |
  | `{:M, destination, message}` | from Python | a message to a process |
  | `{:e, error}` | from Python | its message handler failed |
  | `{:P, text}` | from Python | something was printed |

  An answer is decoded without making atoms unless its caller allowed that, so its id is read from the bytes first.
  """

  @type id :: pos_integer
  @type event ::
          {:answer, id, {:ok, term} | {:error, term} | :undecodable}
          | {:call, term, module, atom, [term], :process | :server}
          | {:message, term, term}
          | {:printed, iodata}
          | {:handler_error, term}
          | {:invalid, String.t()}

  @doc """
  The bytes of a call of a Python function. `module` and `function` may be dotted.

      iex> DSPexErl.Protocol.call(1, :math, :sqrt, [16]) |> IO.iodata_to_binary() |> :erlang.binary_to_term()
      {:C, 1, :math, :sqrt, [16]}
  """
  @spec call(id, atom, atom, [term]) :: iodata
  def call(id, module, function, args), do: encode({:C, id, module, function, args})

  @doc "The bytes of an answer to a call that came from Python."
  @spec answer(term, {:ok, term} | {:error, term}) :: iodata
  def answer(id, {:ok, value}), do: encode({:r, id, value})
  def answer(id, {:error, error}), do: encode({:e, id, error})

  @doc """
  What a frame from Python says. `atoms?` is asked, with the id of an answer, whether that answer may make atoms.

      iex> DSPexErl.Protocol.decode(:erlang.term_to_binary({:r, 7, "four"}), fn _id -> false end)
      {:answer, 7, {:ok, "four"}}
  """
  @spec decode(binary, (id -> boolean)) :: event
  def decode(frame, atoms?) do
    case answered(frame) do
      {:ok, id} -> decode_answer(frame, id, atoms?.(id))
      :error -> decode_other(frame)
    end
  end

  defp encode(term), do: :erlang.term_to_iovec(term)

  # The tag of a small tuple of three, an atom of one character, and a number.
  defp answered(<<131, 104, 3, 100, 0, 1, kind, rest::binary>>) when kind in 'er', do: number(rest)
  defp answered(<<131, 104, 3, tag, 1, kind, rest::binary>>) when tag in [115, 119] and kind in 'er', do: number(rest)
  defp answered(_frame), do: :error

  defp number(<<97, id, _::binary>>), do: {:ok, id}
  defp number(<<98, id::signed-32, _::binary>>), do: {:ok, id}
  defp number(<<110, size, 0, id::little-unit(8)-size(size), _::binary>>), do: {:ok, id}
  defp number(_bytes), do: :error

  defp decode_answer(frame, id, atoms?) do
    case :erlang.binary_to_term(without_class(frame), if(atoms?, do: [], else: [:safe])) do
      {:r, ^id, value} -> {:answer, id, {:ok, value}}
      {:e, ^id, error} -> {:answer, id, {:error, error}}
    end
  rescue
    ArgumentError -> {:answer, id, :undecodable}
  end

  # The class of an exception comes as an atom, and there is no end of classes: it becomes a binary before it can become an atom.
  defp without_class(<<131, 104, 3, rest::binary>> = frame) do
    with {:ok, "e", rest} <- atom(rest),
         {:ok, rest} <- skip_number(rest),
         <<104, 4, rest::binary>> <- rest,
         {:ok, "python", at_class} <- atom(rest),
         {:ok, class, rest} <- atom(at_class) do
      before = binary_part(frame, 0, byte_size(frame) - byte_size(at_class))
      <<before::binary, 109, byte_size(class)::32, class::binary, rest::binary>>
    else
      _other -> frame
    end
  end

  defp without_class(frame), do: frame

  defp atom(<<tag, size, name::binary-size(size), rest::binary>>) when tag in [115, 119], do: {:ok, name, rest}
  defp atom(<<tag, size::16, name::binary-size(size), rest::binary>>) when tag in [100, 118], do: {:ok, name, rest}
  defp atom(_bytes), do: :error

  defp skip_number(<<97, _, rest::binary>>), do: {:ok, rest}
  defp skip_number(<<98, _::32, rest::binary>>), do: {:ok, rest}
  defp skip_number(<<110, size, _, _::binary-size(size), rest::binary>>), do: {:ok, rest}
  defp skip_number(_bytes), do: :error

  # What Python calls and prints makes no atoms: a function that it may call is known here.
  defp decode_other(frame) do
    case :erlang.binary_to_term(frame, [:safe]) do
      {:C, id, module, function, args, context}
      when is_atom(module) and is_atom(function) and is_list(args) and context in [:N, :L] ->
        {:call, id, module, function, args, if(context == :N, do: :process, else: :server)}

      {:M, destination, message} ->
        {:message, destination, message}

      {:P, text} ->
        {:printed, text}

      {:e, error} ->
        {:handler_error, error}

      _other ->
        {:invalid, "expected a frame of the protocol, got another term"}
    end
  rescue
    ArgumentError -> {:invalid, "expected a term that this node knows all atoms of, got another"}
  end
end
