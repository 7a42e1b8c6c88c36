defmodule Mix.Tasks.DspexErl.DoctorTest do
  use ExUnit.Case, async: true
  alias Mix.Tasks.DspexErl.Doctor

  test "all that is needed is here" do
    results = Doctor.check()
    assert Enum.filter(results, &match?({:missing, _, _}, &1)) == []
    assert Enum.any?(results, &match?({:ok, "DSPy" <> _}, &1))
  end
end
