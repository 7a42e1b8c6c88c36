defmodule Mix.Tasks.DspexErl.SetupTest do
  # Changes the working directory of the whole node.
  use ExUnit.Case, async: false
  import ExUnit.CaptureIO
  alias Mix.Tasks.DspexErl.Setup

  @moduletag :tmp_dir

  setup %{tmp_dir: folder} do
    Mix.shell(Mix.Shell.Process)
    here = File.cwd!()
    File.cd!(folder)

    on_exit(fn ->
      File.cd!(here)
      Mix.shell(Mix.Shell.IO)
    end)
  end

  test "makes an environment that the connections find" do
    # Of what is at hand, so that nothing is fetched: a package of one file.
    File.mkdir_p!("package")

    File.write!(
      "package/setup.py",
      "from setuptools import setup; setup(name='empty', version='1', py_modules=['empty'])"
    )

    File.write!("package/empty.py", "")
    capture_io(fn -> Setup.run(["--source", "package", "--extras", ""]) end)
    assert_received {:mix_shell, :info, ["ready: " <> python]}
    assert python == Path.join(DSPexErl.Python.venv(), "bin/python")
    assert {"", 0} = System.cmd(python, ["-c", "import empty"])
  end

  test "says what it expected" do
    assert_raise Mix.Error, ~r/extras out of/, fn -> Setup.run(["--extras", "magic"]) end
    assert_raise Mix.Error, ~r/--python/, fn -> Setup.run(["--colour", "red"]) end
    assert_raise Mix.Error, ~r/no-such-python/, fn -> Setup.run(["--python", "no-such-python"]) end
  end
end
