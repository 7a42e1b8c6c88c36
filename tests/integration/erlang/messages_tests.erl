%% Messages, hooks, prints, and how an instance ends.
-module(messages_tests).
-include("port_case.hrl").

%% -- messages ---------------------------------------------------------------------------------------------------------------------

python_tells_test() ->
    ?WITH(P, [], begin
        ?assertEqual(sent, erlport_peer:call(P, port_mod, tell, [self(), {hello, 1}])),
        port_case:await_message({hello, 1}),
        register(test, self()),
        ?assertEqual(sent, erlport_peer:call(P, port_mod, tell, [test, by_name])),
        port_case:await_message(by_name),
        ?assertEqual(sent, erlport_peer:call(P, port_mod, tell, [{test, node()}, by_node])),
        port_case:await_message(by_node)
    end).

python_tells_from_threads_test() ->
    ?WITH(P, [], begin
        ?assertEqual(100, erlport_peer:call(P, port_mod, tell_from_threads, [self(), 100])),
        [port_case:await_message(N) || N <- lists:seq(0, 99)]
    end).

telling_nobody_ends_the_instance_test() ->
    {ok, P} = erlport_peer:start(),
    OsPid = erlport_peer:os_pid(P),
    erlport_peer:call(P, port_mod, tell, [nobody_has_this_name, x], [async]),
    ?assertMatch({send_error, _}, port_case:ended(P)),
    port_case:await_gone(OsPid).

erlang_tells_function_test() -> erlang_tells("function", "").
erlang_tells_lambda_test() -> erlang_tells("lambda", "").
erlang_tells_more_parameters_test() -> erlang_tells("more parameters", "").
erlang_tells_builtin_test() -> erlang_tells("builtin", "").
erlang_tells_concurrently_test() -> erlang_tells("function", "--concurrency 4").

erlang_tells(Handler, Arguments) ->
    ?WITH(P, [{arguments, Arguments}], begin
        ?assert(erlport_peer:call(P, port_mod, on_messages, [list_to_binary(Handler)])),
        erlport_peer:cast(P, {m, 1}),
        P ! {m, 2},
        erlport_peer:cast(P, self()),
        ?assertEqual([{m, 1}, {m, 2}, self()], erlport_peer:call(P, port_mod, take_messages, [3]))
    end).

a_bound_method_is_a_handler_test() ->
    ?WITH(P, [], begin
        ?assert(erlport_peer:call(P, port_mod, on_messages, [<<"method">>])),
        erlport_peer:cast(P, 1),
        ?assertEqual([{kept, 1}], erlport_peer:call(P, port_mod, take_messages, [1]))
    end).

a_handler_may_answer_test() ->
    ?WITH(P, [], begin
        ?assert(erlport_peer:call(P, port_mod, forward_messages, [self()])),
        [erlport_peer:cast(P, N) || N <- lists:seq(1, 100)],
        [port_case:await_message({forwarded, N}) || N <- lists:seq(1, 100)]
    end).

a_handler_may_call_erlang_test() -> a_handler_may_call_erlang("").
a_handler_may_call_erlang_concurrently_test() -> a_handler_may_call_erlang("--concurrency 4").

a_handler_may_call_erlang(Arguments) ->
    ?WITH(P, [{arguments, Arguments}], begin
        ?assert(erlport_peer:call(P, port_mod, answer_messages_by_call, [self()])),
        [erlport_peer:cast(P, -N) || N <- lists:seq(1, 10)],
        [port_case:await_message({called, N}) || N <- lists:seq(1, 10)]
    end).

messages_are_ignored_without_a_handler_test() ->
    ?WITH(P, [], begin
        erlport_peer:cast(P, {m, 1}),
        ?assertEqual(4, erlport_peer:call(P, operator, add, [2, 2])),
        ?assert(erlport_peer:call(P, port_mod, on_messages, [<<"function">>])),
        ?assert(erlport_peer:call(P, port_mod, ignore_messages, [])),
        erlport_peer:cast(P, {m, 2}),
        ?assertEqual([], erlport_peer:call(P, port_mod, take_messages, [0]))
    end).

an_error_in_a_handler_ends_the_instance_test() ->
    {ok, P} = erlport_peer:start(),
    OsPid = erlport_peer:os_pid(P),
    ?assert(erlport_peer:call(P, port_mod, fail_on_messages, [])),
    erlport_peer:cast(P, 1),
    ?assertMatch({message_handler_error, {python, 'port_mod.Custom', "the handler failed", _}}, port_case:ended(P)),
    port_case:await_gone(OsPid).

bad_handlers_are_refused_test() ->
    ?WITH(P, [], [?assert(erlport_peer:call(P, port_mod, set_bad_handler, [Which])) || Which <- [<<"message">>, <<"encoder">>, <<"decoder">>]]).

%% -- hooks ------------------------------------------------------------------------------------------------------------------------

hooks_test() ->
    ?WITH(P, [], begin
        ?assertMatch({python, 'dspex_erl.errors.EncodeError', _, _},
            port_case:error_of(fun() -> erlport_peer:call(P, port_mod, box, [1]) end)),
        ?assert(erlport_peer:call(P, port_mod, encode_boxes, [])),
        ?assertEqual({box, 1}, erlport_peer:call(P, port_mod, box, [1])),
        ?assertEqual({box, {box, 1}}, erlport_peer:call(P, port_mod, echo, [{box, {box, 1}}])),
        ?assert(erlport_peer:call(P, port_mod, decode_boxes, [])),
        ?assertEqual(<<"Box">>, erlport_peer:call(P, port_mod, kind, [{box, 1}])),
        ?assertEqual({box, 7}, erlport_peer:call(P, port_mod, call_erlang, [erlang, hd, [[{box, 7}]]])),
        ?assert(erlport_peer:call(P, port_mod, no_hooks, [])),
        ?assertEqual(<<"tuple">>, erlport_peer:call(P, port_mod, kind, [{box, 1}]))
    end).

a_hook_that_fails_is_an_error_of_the_call_test() ->
    ?WITH(P, [], begin
        %% A call's result is for the hook that was there when it began.
        ?assert(erlport_peer:call(P, port_mod, fail_to_encode, [])),
        ?assertMatch({python, 'port_mod.Custom', "the encoder failed", _},
            port_case:error_of(fun() -> erlport_peer:call(P, port_mod, echo, [1]) end))
    end),
    ?WITH(P, [], begin
        ?assert(erlport_peer:call(P, port_mod, fail_to_decode, [])),
        ?assertMatch({python, 'port_mod.Custom', "the decoder failed", _},
            port_case:error_of(fun() -> erlport_peer:call(P, port_mod, echo, [1]) end)),
        ?assert(erlport_peer:call(P, port_mod, no_hooks, []))
    end).

%% -- prints -----------------------------------------------------------------------------------------------------------------------

print_test() -> print([], "hello").
print_without_stdio_test() -> print([nouse_stdio], "hello").
print_unicode_test() -> print([], "caf\x{e9} \x{2603} \x{1f600}").
print_in_small_packets_test() -> print([{packet, 1}], lists:duplicate(1000, $x)).
print_unicode_in_small_packets_test() -> print([{packet, 1}], lists:duplicate(1000, 16#1f600)).
print_a_megabyte_test() -> print([], lists:duplicate(1_000_000, $x)).
print_concurrently_test() -> print([{arguments, "--concurrency 4"}], "hello").

print(Options, Text) ->
    Printer = port_case:printer(),
    %% The argument must fit into a packet of 1, too.
    Say = case length(Text) > 200 andalso proplists:get_value(packet, Options) =:= 1 of
        true -> {say_times, [port_case:text([hd(Text)]), length(Text)]};
        false -> {say, [port_case:text(Text)]}
    end,
    ?WITH(P, Options, begin
        {Function, Args} = Say,
        ?assert(erlport_peer:call(P, port_mod, Function, Args)),
        Wanted = port_case:text([Text, $\n]),
        ?assertEqual(Wanted, port_case:printed(Printer, Wanted))
    end).

print_a_surrogate_test() ->
    Printer = port_case:printer(),
    ?WITH(P, [], begin
        ?assert(erlport_peer:call(P, port_mod, say_surrogate, [])),
        ?assertEqual(<<"a\\ud800b\n">>, port_case:printed(Printer, <<"\n">>))
    end).

print_without_newline_comes_before_the_answer_test() ->
    Printer = port_case:printer(),
    ?WITH(P, [], begin
        ?assert(erlport_peer:call(P, port_mod, say_without_end, [<<"no newline">>])),
        ?assertEqual(<<"no newline">>, port_case:printed(Printer, <<"no newline">>))
    end).

print_behind_the_back_test() ->
    ?WITH(P, [], begin
        ?assert(erlport_peer:call(P, port_mod, write_behind_the_back, [])),
        ?assertEqual(4, erlport_peer:call(P, operator, add, [2, 2]))
    end).

print_from_a_coroutine_test() ->
    Printer = port_case:printer(),
    ?WITH(P, [{arguments, "--concurrency 2"}], begin
        ?assert(erlport_peer:call(P, port_mod, print_async, [<<"async">>])),
        ?assertEqual(<<"async\n">>, port_case:printed(Printer, <<"async\n">>))
    end).

%% -- the end ----------------------------------------------------------------------------------------------------------------------

stop_idle_test() -> stop_idle("").
stop_idle_concurrently_test() -> stop_idle("--concurrency 4").

stop_idle(Arguments) ->
    {ok, P} = erlport_peer:start([{arguments, Arguments}]),
    ?assertEqual(4, erlport_peer:call(P, operator, add, [2, 2])),
    OsPid = erlport_peer:os_pid(P),
    erlport_peer:stop(P),
    ?assertEqual(normal, port_case:ended(P)),
    port_case:await_gone(OsPid).

stop_before_the_first_call_test() ->
    {ok, P} = erlport_peer:start(),
    OsPid = erlport_peer:os_pid(P),
    erlport_peer:stop(P),
    port_case:await_gone(OsPid).

stop_while_busy_test() -> stop_while_busy("").
stop_while_busy_concurrently_test() -> stop_while_busy("--concurrency 4").

stop_while_busy(Arguments) ->
    register(test, self()),
    {ok, P} = erlport_peer:start([{arguments, Arguments}]),
    OsPid = erlport_peer:os_pid(P),
    Self = self(),
    spawn_link(fun() -> Self ! port_case:error_of(fun() -> erlport_peer:call(P, port_mod, busy, [<<"python">>]) end) end),
    port_case:await_message(busy),
    erlport_peer:stop(P),
    port_case:await_message(stopped),
    port_case:await_gone(OsPid).

kill_of_the_server_test() ->
    register(test, self()),
    {ok, P} = erlport_peer:start(),
    OsPid = erlport_peer:os_pid(P),
    spawn(fun() -> catch erlport_peer:call(P, port_mod, busy, [<<"sleep">>]) end),
    port_case:await_message(busy),
    Monitor = erlang:monitor(process, P),
    exit(P, kill),
    port_case:await_message({'DOWN', Monitor, process, P, killed}),
    port_case:await_gone(OsPid).

kill_of_the_caller_test() ->
    ?WITH(P, [{arguments, "--concurrency 2"}], begin
        register(test, self()),
        {Caller, Monitor} = spawn_monitor(fun() -> erlport_peer:call(P, port_mod, wait_at_the_gate, [1]) end),
        port_case:await_message({waiting, 1}),
        exit(Caller, kill),
        receive {'DOWN', Monitor, process, Caller, killed} -> ok end,
        ?assert(erlport_peer:call(P, port_mod, open_the_gate, [])),
        ?assertEqual(4, erlport_peer:call(P, operator, add, [2, 2]))
    end).

python_is_killed_test() ->
    register(test, self()),
    {ok, P} = erlport_peer:start(),
    OsPid = erlport_peer:os_pid(P),
    Self = self(),
    spawn_link(fun() -> Self ! port_case:error_of(fun() -> erlport_peer:call(P, port_mod, busy, [<<"sleep">>]) end) end),
    port_case:await_message(busy),
    os:cmd("kill -9 " ++ integer_to_list(OsPid)),
    port_case:await_message({port_closed, {code, 137}}),
    ?assertEqual({port_closed, {code, 137}}, port_case:ended(P)).

exits_in_a_call_are_answers_test() ->
    ?WITH(P, [], begin
        ?assertMatch({python, 'builtins.SystemExit', "7", _},
            port_case:error_of(fun() -> erlport_peer:call(P, port_mod, leave, []) end)),
        ?assertEqual(4, erlport_peer:call(P, operator, add, [2, 2]))
    end).

shutdown_test() -> shutdown("").
shutdown_concurrently_test() -> shutdown("--concurrency 4").

shutdown(Arguments) ->
    {ok, P} = erlport_peer:start([{arguments, Arguments}]),
    ?assertEqual(#{status => <<"stopping">>}, erlport_peer:call(P, dspex_erl, shutdown, [])),
    ?assertEqual({port_closed, {code, 0}}, port_case:ended(P)).

broken_interpreter_test() ->
    {ok, P} = erlport_peer:start([{arguments, "--no-such-option"}]),
    ?assertEqual({port_closed, {code, 2}}, port_case:ended(P)).
