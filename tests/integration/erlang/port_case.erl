%% Support for the test modules: a worker for each test, conditions to wait for, and a group leader that remembers what was printed.
-module(port_case).

-export([run/2, with/2, patience/0, ended/1, await_gone/1, await_message/1, parallel/1, printer/0, printed/2, error_of/1, text/1]).

%% Runs one test function and ends the virtual machine with a status that says how it went.
run(Module, Function) ->
    Result = eunit:test({timeout, 120 * unit(), {Module, Function}}, [verbose]),
    io:format("~n"),
    halt(case Result of ok -> 0; _ -> 1 end).

unit() ->
    max(1, ceil(binary_to_number(os:getenv("DSPEX_TEST_TIME", "1")))).

binary_to_number(Text) ->
    case string:to_float(Text) of
        {error, no_float} -> list_to_integer(Text);
        {Float, _} -> Float
    end.

%% How long, in milliseconds, anything is waited for that ought to come at once.
patience() ->
    30_000 * unit().

%% The body must leave a server that is still there and a Python that then goes, unless it has stopped the server itself.
with(Options, Body) ->
    {ok, Server} = erlport_peer:start(Options),
    OsPid = erlport_peer:os_pid(Server),
    try Body(Server) of
        _ -> ok
    after
        erlport_peer:stop(Server),
        await_gone(OsPid)
    end.

%% Why a server ended.
ended(Server) ->
    Monitor = erlang:monitor(process, Server),
    receive
        {'DOWN', Monitor, process, Server, Reason} -> Reason
    after patience() -> error(server_still_there)
    end.

%% Waits until an operating system process has ended. Python can wait for any process, and nobody polls.
await_gone(OsPid) ->
    Program = "import os,select,sys\ntry: select.select([os.pidfd_open(int(sys.argv[1]))],[],[])\nexcept ProcessLookupError: pass",
    Port = open_port({spawn_executable, os:find_executable(os:getenv("DSPEX_TEST_PYTHON", "python3"))},
        [exit_status, {args, ["-S", "-E", "-c", Program, integer_to_list(OsPid)]}]),
    receive
        {Port, {exit_status, 0}} -> ok
    after patience() -> error({still_there, OsPid})
    end.

await_message(Wanted) ->
    receive
        Wanted -> ok
    after patience() -> error({no_message, Wanted, element(2, process_info(self(), messages))})
    end.

%% The values of several functions that run at once, in order; an error in one is an error here.
parallel(Functions) ->
    Self = self(),
    Pids = [spawn_monitor(fun() -> Self ! {self(), Function()} end) || Function <- Functions],
    [receive
        {Pid, Value} ->
            erlang:demonitor(Monitor, [flush]),
            Value;
        {'DOWN', Monitor, process, Pid, Reason} ->
            error(Reason)
     after patience() -> error(no_answer)
     end || {Pid, Monitor} <- Pids].

%% A group leader that keeps what is printed; start a server while it is the caller's, and the server prints to it.
printer() ->
    Printer = spawn_link(fun() -> print_loop(<<>>, []) end),
    group_leader(Printer, self()),
    Printer.

%% Waits until all of Wanted was printed, and says what was.
printed(Printer, Wanted) ->
    Printer ! {await, self(), Wanted},
    receive
        {Printer, Text} -> Text
    after patience() -> error({not_printed, Wanted})
    end.

print_loop(Text, Waiting) ->
    {Ready, Rest} = lists:partition(fun({_, Wanted}) -> binary:match(Text, Wanted) =/= nomatch end, Waiting),
    [Pid ! {self(), Text} || {Pid, _} <- Ready],
    receive
        {io_request, From, Ref, Request} ->
            {Reply, New} = print(Request),
            From ! {io_reply, Ref, Reply},
            print_loop(<<Text/binary, New/binary>>, Rest);
        {await, Pid, Wanted} ->
            print_loop(Text, [{Pid, Wanted} | Rest])
    end.

print({put_chars, unicode, Characters}) -> {ok, unicode:characters_to_binary(Characters)};
print({put_chars, unicode, Module, Function, Args}) -> print({put_chars, unicode, apply(Module, Function, Args)});
print(_) -> {{error, request}, <<>>}.

%% The error that a call fails with.
error_of(Function) ->
    try Function() of
        Value -> error({no_error, Value})
    catch
        error:Error -> Error
    end.

text(Characters) ->
    unicode:characters_to_binary(Characters).
