defmodule DSPexErl.MixProject do
  use Mix.Project

  def project do
    [
      app: :dspex_erl,
      version: "0.1.0",
      elixir: "~> 1.14",
      start_permanent: Mix.env() == :prod,
      description: "DSPy and any other Python from Elixir: isolated sessions, supervised, over ports",
      package: [licenses: ["Apache-2.0"], links: %{}],
      docs: [main: "DSPexErl"],
      deps: []
    ]
  end

  def application do
    [mod: {DSPexErl.Application, []}, extra_applications: [:logger, :crypto]]
  end
end
