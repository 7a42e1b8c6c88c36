%% Times programs behind ports as ErlPort would run them: {packet, 4}, terms encoded with minor version 1.
%%
%%     erl -noshell -run bench_port main TASKS ANSWERS
%%
%% TASKS holds a list of tasks in the external format, ANSWERS gets the list of their answers. A contender is {Label, Command}.
%% Contenders take turns: one sample of each, and again. An answer is [{Label, Samples}], where times are in nanoseconds.
-module(bench_port).
-export([main/1]).

-define(CALL(Id, Module, Function, Arguments), {'C', Id, Module, Function, Arguments}).
-define(SMALL_CALL, ?CALL(1, operator, add, [2, 2])).
-define(PATIENCE, 20000).

main([Tasks, Answers]) ->
    {ok, Data} = file:read_file(Tasks),
    ok = file:write_file(Answers, term_to_binary([perform(Task) || Task <- binary_to_term(Data)])),
    %% Without waiting for what stuck programs have not read.
    halt(0, [{flush, false}]).

%% Small calls one after the other, from the process that owns the port. A sample is the time of Trips calls.
perform({round_trips, Rounds, Trips, Contenders}) ->
    Ports = [{Label, open(Command)} || {Label, Command} <- Contenders],
    Samples = take_turns(Rounds, [{Label, fun() -> round_trips(Port, Trips) end} || {Label, Port} <- Ports]),
    lists:foreach(fun({_, Port}) -> close(Port) end, Ports),
    Samples;
%% Callers processes that call through one owner, each Times times one after the other. A sample is the time until all are done.
perform({calls, Rounds, Callers, Times, Function, Contenders}) ->
    Owners = [{Label, spawn_link(fun() -> own(Command) end)} || {Label, Command} <- Contenders],
    Samples = take_turns(Rounds, [{Label, fun() -> calls(Owner, Callers, Times, Function) end} || {Label, Owner} <- Owners]),
    lists:foreach(fun({_, Owner}) -> stop(Owner) end, Owners),
    Samples;
%% A binary there and back, each time through a program of its own. A sample is {Time, RssBefore, PeakRss}, the last two in bytes.
perform({bulk, Rounds, Size, Contenders}) ->
    Binary = binary:copy(rand:bytes(Size div 64), 64),
    take_turns(Rounds, [{Label, fun() -> bulk(Command, Binary) end} || {Label, Command} <- Contenders]);
%% From the opening of the port to the first answer, or to the end of a program that answers nothing.
perform({start, Rounds, Contenders}) ->
    take_turns(Rounds, [{Label, fun() -> start(Awaited, Command) end} || {Label, Awaited, Command} <- Contenders]).

%% The samples of each contender. The first turn only warms up.
take_turns(Rounds, Contenders) ->
    [_ | Turns] = [[take(Label, Sample) || {Label, Sample} <- Contenders] || _ <- lists:seq(0, Rounds)],
    Numbered = lists:zip(lists:seq(1, length(Contenders)), Contenders),
    [{Label, [lists:nth(Number, Turn) || Turn <- Turns]} || {Number, {Label, _}} <- Numbered].

%% An error says whose it is.
take(Label, Sample) ->
    try Sample()
    catch error:Reason:Stack -> erlang:raise(error, {Label, Reason}, Stack)
    end.

round_trips(Port, Trips) ->
    Start = now_ns(),
    repeat(Trips, fun() -> call(Port, ?SMALL_CALL) end),
    now_ns() - Start.

calls(Owner, Callers, Times, Function) ->
    Self = self(),
    Pids = [spawn_link(fun() -> caller(Self, Owner, Times, Function) end) || _ <- lists:seq(1, Callers)],
    Start = now_ns(),
    lists:foreach(fun(Pid) -> Pid ! go end, Pids),
    lists:foreach(fun(Pid) -> receive {done, Pid} -> ok after ?PATIENCE -> error(timeout) end end, Pids),
    now_ns() - Start.

bulk(Command, Binary) ->
    Port = open(Command),
    call(Port, ?SMALL_CALL),
    Before = memory(Port, "VmRSS"),
    Start = now_ns(),
    Answer = call(Port, ?CALL(1, builtins, bytes, [Binary])),
    Time = now_ns() - Start,
    true = is_back(Answer, Binary),
    Peak = memory(Port, "VmHWM"),
    close(Port),
    {Time, Before, Peak}.

is_back({r, 1, Back}, Binary) -> Back =:= Binary;
is_back(?CALL(1, _, _, [Back]), Binary) -> Back =:= Binary.

start(answer, Command) ->
    Start = now_ns(),
    Port = open(Command),
    {r, 1, 4} = call(Port, ?SMALL_CALL),
    Time = now_ns() - Start,
    close(Port),
    Time;
start(exit, Command) ->
    Start = now_ns(),
    Port = open(Command),
    receive {Port, {exit_status, 0}} -> ok after ?PATIENCE -> error(timeout) end,
    now_ns() - Start.

%% The process that owns a port and serves the others, as ErlPort's gen_server does.
own(Command) ->
    serve(open(Command), 1, #{}).

serve(Port, Id, Callers) ->
    receive
        {call, From, {Module, Function, Arguments}} ->
            send(Port, ?CALL(Id, Module, Function, Arguments)),
            serve(Port, Id + 1, Callers#{Id => From});
        {Port, {data, Data}} ->
            {r, Answered, Value} = binary_to_term(Data),
            {From, Rest} = maps:take(Answered, Callers),
            From ! {answer, Value},
            serve(Port, next_id(Id, Rest), Rest);
        {Port, {exit_status, Status}} ->
            error({program_ended, Status});
        {stop, From} ->
            close(Port),
            From ! {stopped, self()}
    end.

%% Small whenever possible, as ErlPort's ids are.
next_id(_, Callers) when map_size(Callers) =:= 0 -> 1;
next_id(Id, _) -> Id.

caller(Parent, Owner, Times, Function) ->
    receive go -> ok end,
    repeat(Times, fun() ->
        Owner ! {call, self(), Function},
        receive {answer, _} -> ok end
    end),
    Parent ! {done, self()}.

stop(Owner) ->
    Owner ! {stop, self()},
    receive {stopped, Owner} -> ok after ?PATIENCE -> error(timeout) end.

%% Python must find, and may write, its compiled modules.
open(Command) ->
    Options = [binary, hide, exit_status, {packet, 4}, {env, [{"PYTHONDONTWRITEBYTECODE", false}]}],
    open_port({spawn, unicode:characters_to_list(Command)}, Options).

call(Port, Call) ->
    send(Port, Call),
    receive
        {Port, {data, Data}} -> binary_to_term(Data);
        {Port, {exit_status, Status}} -> error({program_ended, Status})
    after ?PATIENCE -> error(timeout)
    end.

send(Port, Term) ->
    port_command(Port, term_to_binary(Term, [{minor_version, 1}])).

%% Returns when the program is gone, so that its end disturbs no measurement.
close(Port) ->
    Process = process_folder(Port),
    port_close(Port),
    await_end(Process, ?PATIENCE).

await_end(Process, Left) when Left > 0 ->
    case filelib:is_dir(Process) of
        true -> timer:sleep(1), await_end(Process, Left - 1);
        false -> ok
    end.

%% A figure of /proc/PID/status, in bytes; 0 where there is no such file.
memory(Port, Field) ->
    case file:read_file(filename:join(process_folder(Port), "status")) of
        {ok, Status} ->
            {match, [Kilobytes]} = re:run(Status, Field ++ ":\\s*(\\d+) kB", [{capture, all_but_first, list}]),
            list_to_integer(Kilobytes) * 1024;
        {error, enoent} ->
            0
    end.

process_folder(Port) ->
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    filename:join("/proc", integer_to_list(Pid)).

repeat(0, _) -> ok;
repeat(Times, Do) -> Do(), repeat(Times - 1, Do).

now_ns() -> erlang:monotonic_time(nanosecond).
