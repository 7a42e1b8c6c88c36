%% Calls in both directions.
-module(calls_tests).
-include("port_case.hrl").
-export([again/2, fail/2]).

call_test() ->
    ?WITH(P, [], ?assertEqual(4, erlport_peer:call(P, operator, add, [2, 2]))).

dotted_names_test() ->
    ?WITH(P, [], begin
        ?assertEqual(<<"a/b">>, erlport_peer:call(P, os, 'path.join', [<<"a">>, <<"b">>])),
        ?assertEqual(<<"b">>, erlport_peer:call(P, 'os.path', basename, [<<"a/b">>])),
        ?assertEqual(42, erlport_peer:call(P, port_mod, 'Shelf.Inner.double', [21])),
        ?assertEqual(<<"shelf">>, erlport_peer:call(P, port_mod, 'Shelf.name', []))
    end).

no_stdio_test() ->
    ?WITH(P, [nouse_stdio], ?assertEqual(4, erlport_peer:call(P, operator, add, [2, 2]))).

packet_1_test() -> packet(1, 200).
packet_2_test() -> packet(2, 60_000).
packet_4_test() -> packet(4, 1_000_000).

packet(N, Size) ->
    Data = binary:copy(<<"x">>, Size),
    ?WITH(P, [{packet, N}], ?assertEqual(Data, erlport_peer:call(P, port_mod, echo, [Data]))).

packet_overflow_test() ->
    ?WITH(P, [{packet, 2}], begin
        ?assertMatch({python, 'dspex_erl.errors.EncodeLimitError', _, _},
            port_case:error_of(fun() -> erlport_peer:call(P, port_mod, zeros, [70_000]) end)),
        ?assertEqual(4, erlport_peer:call(P, operator, add, [2, 2]))
    end).

compressed_test() ->
    Data = binary:copy(<<"compressible ">>, 100_000),
    ?WITH(P, [{compressed, 9}], begin
        ?assertEqual(Data, erlport_peer:call(P, port_mod, echo, [Data])),
        ?assertEqual(4, erlport_peer:call(P, operator, add, [2, 2]))
    end).

small_buffer_test() ->
    Data = binary:copy(<<"x">>, 100_000),
    ?WITH(P, [{buffer_size, 1}], ?assertEqual(Data, erlport_peer:call(P, port_mod, echo, [Data]))).

%% -- many at once -----------------------------------------------------------------------------------------------------------------

fifty_callers_test() -> fifty_callers("").
fifty_callers_concurrently_test() -> fifty_callers("--concurrency 8").

fifty_callers(Arguments) ->
    ?WITH(P, [{arguments, Arguments}], begin
        ?assertEqual(1, erlport_peer:call(P, port_mod, echo, [1])),
        Values = port_case:parallel([fun() -> erlport_peer:call(P, port_mod, echo, [{n, N}]) end || N <- lists:seq(1, 50)]),
        ?assertEqual([{n, N} || N <- lists:seq(1, 50)], Values)
    end).

%% Twelve megabytes each way: neither side can write it all before the other reads.
fifty_large_calls_test() -> fifty_large_calls("").
fifty_large_calls_concurrently_test() -> fifty_large_calls("--concurrency 4").

fifty_large_calls(Arguments) ->
    ?WITH(P, [{arguments, Arguments}], begin
        ?assertEqual(1, erlport_peer:call(P, port_mod, echo, [1])),
        Datas = [binary:copy(<<N>>, 256 * 1024) || N <- lists:seq(1, 50)],
        ?assertEqual(Datas, port_case:parallel([fun() -> erlport_peer:call(P, port_mod, echo, [Data]) end || Data <- Datas]))
    end).

%% None of the calls returns before all of them run.
thirty_two_meet_test() -> thirty_two(meet).
coroutines_meet_test() -> thirty_two(meet_async).

thirty_two(Function) ->
    ?WITH(P, [{arguments, "--concurrency 32"}], begin
        ?assertEqual(1, erlport_peer:call(P, port_mod, echo, [1])),
        ?assertEqual(lists:duplicate(32, true),
            port_case:parallel([fun() -> erlport_peer:call(P, port_mod, Function, [32]) end || _ <- lists:seq(1, 32)]))
    end).

%% -- back into Erlang -------------------------------------------------------------------------------------------------------------

self_is_the_server_test() ->
    ?WITH(P, [], begin
        ?assertEqual(P, erlport_peer:call(P, port_mod, me, [])),
        ?assertEqual(P, erlport_peer:call(P, port_mod, me, []))
    end).

references_are_new_test() ->
    ?WITH(P, [], begin
        First = erlport_peer:call(P, port_mod, reference, []),
        Second = erlport_peer:call(P, port_mod, reference, []),
        ?assert(is_reference(First)),
        ?assertNotEqual(First, Second)
    end).

back_test() ->
    ?WITH(P, [], begin
        ?assertEqual(5, erlport_peer:call(P, port_mod, call_erlang, [erlang, abs, [-5]])),
        ?assertEqual([3, 2, 1], erlport_peer:call(P, port_mod, call_erlang, [lists, reverse, [[1, 2, 3]]]))
    end).

back_concurrently_test() ->
    ?WITH(P, [{arguments, "--concurrency 16"}], begin
        ?assertEqual(1, erlport_peer:call(P, port_mod, echo, [1])),
        Values = port_case:parallel(
            [fun() -> erlport_peer:call(P, port_mod, call_erlang, [erlang, abs, [-N]]) end || N <- lists:seq(1, 200)]),
        ?assertEqual(lists:seq(1, 200), Values)
    end).

back_from_threads_test() -> back_from_threads("").
back_from_threads_concurrently_test() -> back_from_threads("--concurrency 4").

back_from_threads(Arguments) ->
    ?WITH(P, [{arguments, Arguments}],
        ?assertEqual(lists:seq(0, 20), erlport_peer:call(P, port_mod, call_erlang_from_threads, [20]))).

back_from_an_idle_worker_test() -> back_from_an_idle_worker("").
back_from_an_idle_worker_concurrently_test() -> back_from_an_idle_worker("--concurrency 4").

back_from_an_idle_worker(Arguments) ->
    ?WITH(P, [{arguments, Arguments}], begin
        ?assert(erlport_peer:call(P, port_mod, call_erlang_in_the_background, [-5])),
        ?assertEqual(5, erlport_peer:call(P, port_mod, background_result, []))
    end).

back_from_a_coroutine_test() ->
    ?WITH(P, [{arguments, "--concurrency 4"}],
        ?assertEqual(5, erlport_peer:call(P, port_mod, call_erlang_async, [-5]))).

nested_test() -> nested("", 500).
nested_concurrently_test() -> nested("--concurrency 4", 500).

nested(Arguments, Levels) ->
    ?WITH(P, [{arguments, Arguments}], begin
        ?assertEqual(Levels, erlport_peer:call(P, port_mod, nest, [?MODULE, again, [P], Levels])),
        ?assertEqual(4, erlport_peer:call(P, operator, add, [2, 2]))
    end).

again(P, Levels) ->
    erlport_peer:call(P, port_mod, nest, [?MODULE, again, [P], Levels]).

an_error_passes_erlang_as_it_is_test() ->
    ?WITH(P, [], begin
        %% Python catches what Erlang passed on, which is what Python raised.
        ?assertMatch({python, 'builtins.ValueError', "down here"},
            erlport_peer:call(P, port_mod, call_erlang_and_catch, [?MODULE, fail, [P, 3]])),
        ?assertMatch({python, 'erlport.erlang.CallError', _, _},
            port_case:error_of(fun() -> erlport_peer:call(P, port_mod, call_erlang, [?MODULE, fail, [P, 3]]) end))
    end).

fail(P, Levels) -> erlport_peer:call(P, port_mod, fail_at_depth, [Levels]).

%% -- errors -----------------------------------------------------------------------------------------------------------------------

error_shape_test() ->
    ?WITH(P, [], begin
        {python, Type, Message, Trace} = port_case:error_of(fun() -> erlport_peer:call(P, port_mod, fail_at_depth, [3]) end),
        ?assertEqual('builtins.ValueError', Type),
        ?assertEqual("down here", Message),
        ?assert(length(Trace) >= 4),
        %% Innermost first, each frame a text.
        ?assertMatch({match, _}, re:run(hd(Trace), "port_mod.*fail_at_depth.*raise ValueError", [dotall])),
        [?assert(io_lib:printable_unicode_list(Frame)) || Frame <- Trace]
    end).

error_types_test() ->
    ?WITH(P, [], begin
        Types = [
            {<<"value">>, 'builtins.ValueError', "no such thing: \x{2603}"},
            {<<"custom">>, 'port_mod.Custom', "mine"},
            {<<"exit">>, 'builtins.SystemExit', "3"},
            {<<"interrupt">>, 'builtins.KeyboardInterrupt', ""},
            {<<"generator_exit">>, 'builtins.GeneratorExit', ""},
            {<<"base">>, 'builtins.BaseException', "base"},
            {<<"stop_iteration">>, 'builtins.StopIteration', ""}
        ],
        [?assertMatch({python, Type, Message, [_ | _]},
            port_case:error_of(fun() -> erlport_peer:call(P, port_mod, fail, [Name]) end)) || {Name, Type, Message} <- Types]
    end).

unknown_names_test() ->
    ?WITH(P, [], begin
        ?assertMatch({python, 'builtins.ModuleNotFoundError', "No module named 'no_such_mod'", _},
            port_case:error_of(fun() -> erlport_peer:call(P, no_such_mod, f, []) end)),
        ?assertMatch({python, 'builtins.AttributeError', "module 'port_mod' has no attribute 'no_such_fun'", _},
            port_case:error_of(fun() -> erlport_peer:call(P, port_mod, no_such_fun, []) end)),
        ?assertMatch({python, 'builtins.TypeError', _, _},
            port_case:error_of(fun() -> erlport_peer:call(P, port_mod, add, [1]) end))
    end).

errors_of_erlang_test() ->
    ?WITH(P, [], begin
        Catch = fun(F, A) -> erlport_peer:call(P, port_mod, call_erlang_and_catch, [erlang, F, A]) end,
        ?assertEqual({erlang, error, oops}, Catch(error, [oops])),
        ?assertEqual({erlang, exit, oops}, Catch(exit, [oops])),
        ?assertEqual({erlang, throw, oops}, Catch(throw, [oops])),
        ?assertMatch({python, 'erlport.erlang.CallError', _, _},
            port_case:error_of(fun() -> erlport_peer:call(P, port_mod, call_erlang, [erlang, error, [oops]]) end))
    end).

%% -- time-outs and asynchronous calls ---------------------------------------------------------------------------------------------

timeout_test() ->
    ?WITH(P, [{arguments, "--concurrency 2"}], begin
        register(test, self()),
        ?assertEqual(timeout, port_case:error_of(fun() -> erlport_peer:call(P, port_mod, wait_at_the_gate, [1], [{timeout, 1}]) end)),
        port_case:await_message({waiting, 1}),
        ?assert(erlport_peer:call(P, port_mod, open_the_gate, [])),
        %% The late answer finds its identifier and does no harm.
        ?assertEqual(4, erlport_peer:call(P, operator, add, [2, 2]))
    end).

async_test() ->
    ?WITH(P, [], begin
        ?assertEqual(ok, erlport_peer:call(P, port_mod, note, [1], [async])),
        ?assertEqual(ok, erlport_peer:call(P, port_mod, note, [2], [async])),
        ?assertEqual([1, 2], erlport_peer:call(P, port_mod, noted, []))
    end).

async_error_ends_the_instance_test() ->
    {ok, P} = erlport_peer:start(),
    OsPid = erlport_peer:os_pid(P),
    ok = erlport_peer:call(P, port_mod, fail, [<<"value">>], [async]),
    ?assertMatch({async_call_error, {python, 'builtins.ValueError', _, _}}, port_case:ended(P)),
    port_case:await_gone(OsPid).
