defmodule DSPexErl.Supervisor do
  @moduledoc """
  The top of the tree: one supervised `DSPexErl.Connection`, which is one Python process.

      DSPexErl.Supervisor
       └─ DSPexErl.Connection   ── port, packet 4 ──►  python3 -m dspex_erl.port

  Python starts at the first call, not with the application. When it dies, whoever waits is told so, and the next call finds a new one.
  """
  use Supervisor

  @doc "Starts the tree. The application does this."
  @spec start_link(keyword) :: Supervisor.on_start()
  def start_link(options), do: Supervisor.start_link(__MODULE__, options, name: __MODULE__)

  @impl true
  def init(_options), do: Supervisor.init([{DSPexErl.Connection, name: DSPexErl.Connection}], strategy: :one_for_one)
end
