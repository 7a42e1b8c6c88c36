defmodule DSPexErl.Application do
  @moduledoc false
  use Application

  @impl true
  def start(_type, _args), do: DSPexErl.Supervisor.start_link([])
end
