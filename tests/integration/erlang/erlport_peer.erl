%% The Erlang side of a port that speaks ErlPort's protocol, written from the protocol's description for our tests.
%%
%% One server owns one port, that is one Python process. It keeps to what ErlPort's server does, above all in when it gives up: whatever
%% Python may not send stops it with a reason of its own, so that a test that ends well has seen nothing illegal.
-module(erlport_peer).
-behaviour(gen_server).

-export([start/0, start/1, call/4, call/5, cast/2, stop/1, os_pid/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-record(state, {
    port :: port(),
    compressed :: 0..9,
    %% Calls to Python that wait for an answer: who asked, or what is to become of the answer.
    asked = #{} :: #{pos_integer() => waiting | async | {gen_server:from(), timer()}},
    %% Calls from Python that are being served.
    serving = #{} :: #{term() => pid()}
}).
-type timer() :: reference() | none.

%% -- interface --------------------------------------------------------------------------------------------------------------------

start() ->
    start([]).

%% Options: use_stdio | nouse_stdio, {packet, N}, {compressed, L}, {buffer_size, B}, {env, [{Name, Value}]},
%% {arguments, "options of the worker"}.
start(Options) ->
    gen_server:start(?MODULE, Options, []).

call(Server, Module, Function, Args) ->
    call(Server, Module, Function, Args, []).

%% Options: {timeout, Milliseconds} | async.
call(Server, Module, Function, Args, Options) ->
    case gen_server:call(Server, {call, Module, Function, Args, Options}, infinity) of
        {ok, Value} -> Value;
        {error, Error} -> erlang:error(Error)
    end.

cast(Server, Message) ->
    gen_server:cast(Server, {message, Message}).

%% Does not wait for Python.
stop(Server) ->
    gen_server:cast(Server, stop).

os_pid(Server) ->
    gen_server:call(Server, os_pid, infinity).

%% -- server -----------------------------------------------------------------------------------------------------------------------

init(Options) ->
    process_flag(trap_exit, true),
    Packet = proplists:get_value(packet, Options, 4),
    Compressed = proplists:get_value(compressed, Options, 0),
    Stdio = case proplists:get_bool(nouse_stdio, Options) of
        true -> nouse_stdio;
        false -> use_stdio
    end,
    Command = lists:flatten(
        io_lib:format("~ts -m dspex_erl.port ~ts -u -m erlport.cli --packet=~w --~s --compressed=~w --buffer_size=~w", [
            os:getenv("DSPEX_TEST_PYTHON", "python3"),
            proplists:get_value(arguments, Options, ""),
            Packet,
            Stdio,
            Compressed,
            proplists:get_value(buffer_size, Options, 65536)
        ])
    ),
    PortOptions = [binary, hide, exit_status, {packet, Packet}, {env, proplists:get_value(env, Options, [])}, Stdio],
    {ok, #state{port = open_port({spawn, Command}, PortOptions), compressed = Compressed}}.

handle_call({call, Module, Function, Args, Options}, From, State = #state{asked = Asked}) ->
    Id = free_id(Asked),
    write(State, {'C', Id, Module, Function, [wrap(Arg) || Arg <- Args]}),
    case proplists:get_bool(async, Options) of
        true ->
            {reply, {ok, ok}, State#state{asked = Asked#{Id => async}}};
        false ->
            Timer = case proplists:get_value(timeout, Options, infinity) of
                infinity -> none;
                Milliseconds -> erlang:start_timer(Milliseconds, self(), Id)
            end,
            {noreply, State#state{asked = Asked#{Id => {From, Timer}}}}
    end;
handle_call(os_pid, _From, State) ->
    {os_pid, Pid} = erlang:port_info(State#state.port, os_pid),
    {reply, Pid, State}.

handle_cast({message, Message}, State) ->
    write(State, {'M', wrap(Message)}),
    {noreply, State};
handle_cast(stop, State) ->
    {stop, normal, State}.

handle_info({Port, {data, Data}}, State = #state{port = Port}) ->
    try binary_to_term(Data) of
        Term -> handle_frame(Term, State)
    catch
        error:badarg -> {stop, {invalid_protocol_data, Data}, State}
    end;
handle_info({Port, {exit_status, Status}}, State = #state{port = Port}) ->
    {stop, {port_closed, {code, Status}}, State};
handle_info({'EXIT', Port, Reason}, State = #state{port = Port}) ->
    {stop, {port_closed, Reason}, State};
handle_info({served, Id, Answer}, State = #state{serving = Serving}) ->
    write(State, Answer),
    {noreply, State#state{serving = maps:remove(Id, Serving)}};
handle_info({'EXIT', _Pid, normal}, State) ->
    {noreply, State};
handle_info({timeout, Timer, Id}, State = #state{asked = Asked}) ->
    case Asked of
        #{Id := {From, Timer}} ->
            gen_server:reply(From, {error, timeout}),
            %% The identifier stays taken: Python knows nothing of the time-out and will answer.
            {noreply, State#state{asked = Asked#{Id => waiting}}};
        _ ->
            {noreply, State}
    end;
handle_info(Message, State) ->
    write(State, {'M', wrap(Message)}),
    {noreply, State}.

terminate(Reason, #state{asked = Asked, port = Port}) ->
    Error = case Reason of
        normal -> stopped;
        _ -> Reason
    end,
    [gen_server:reply(From, {error, Error}) || {From, _} <- maps:values(Asked)],
    catch port_close(Port),
    ok.

%% -- what Python sends ------------------------------------------------------------------------------------------------------------

handle_frame({r, Id, Value} = Frame, State) ->
    answered(Id, {ok, Value}, Frame, State);
handle_frame({e, Id, Error} = Frame, State) ->
    answered(Id, {error, Error}, Frame, State);
handle_frame({e, Error}, State) ->
    {stop, {message_handler_error, Error}, State};
handle_frame({'C', Id, Module, Function, Args, Context} = Frame, State = #state{serving = Serving}) when
    is_atom(Module), is_atom(Function), is_list(Args), Context =:= 'N' orelse Context =:= 'L'
->
    case Serving of
        #{Id := _} -> {stop, {duplicate_incoming_call, Frame}, State};
        _ -> {noreply, serve(Id, {Module, Function, Args}, Context, State)}
    end;
handle_frame({'M', Destination, Message} = Frame, State) ->
    try Destination ! Message of
        _ -> {noreply, State}
    catch
        error:Reason -> {stop, {send_error, {Reason, Frame}}, State}
    end;
handle_frame({'P', Characters} = Frame, State) ->
    try io:put_chars(Characters) of
        ok -> {noreply, State}
    catch
        error:Reason -> {stop, {print_error, {Reason, Frame}}, State}
    end;
handle_frame(Frame, State) ->
    {stop, {invalid_protocol_message, Frame}, State}.

answered(Id, Answer, Frame, State = #state{asked = Asked}) ->
    Rest = maps:remove(Id, Asked),
    case {Asked, Answer} of
        {#{Id := {From, Timer}}, _} ->
            Timer =:= none orelse erlang:cancel_timer(Timer),
            gen_server:reply(From, Answer),
            {noreply, State#state{asked = Rest}};
        {#{Id := async}, {error, Error}} ->
            {stop, {async_call_error, Error}, State};
        {#{Id := _}, _} ->
            {noreply, State#state{asked = Rest}};
        {_, _} when map_size(Asked) =:= 0 ->
            {stop, {orphan_response, Frame}, State};
        _ ->
            {stop, {unexpected_response, Frame}, State}
    end.

serve(Id, MFA, 'L', State) ->
    write(State, answer(Id, MFA)),
    State;
serve(Id, MFA, 'N', State = #state{serving = Serving}) ->
    Server = self(),
    Pid = spawn_link(fun() -> Server ! {served, Id, answer(Id, MFA)} end),
    State#state{serving = Serving#{Id => Pid}}.

answer(Id, {Module, Function, Args}) ->
    try apply(Module, Function, Args) of
        Value -> {r, Id, wrap(Value)}
    catch
        error:{Language, Type, _, Trace} = Error when is_atom(Language), is_atom(Type), is_list(Trace) ->
            %% An error that has crossed the border before goes on as it is.
            {e, Id, wrap(Error)};
        Class:Reason:Trace ->
            {e, Id, wrap({erlang, Class, Reason, Trace})}
    end.

%% -- terms ------------------------------------------------------------------------------------------------------------------------

write(#state{port = Port, compressed = Compressed}, Term) ->
    port_command(Port, term_to_binary(Term, [{minor_version, 1}, {compressed, Compressed}])).

free_id(Asked) when map_size(Asked) =:= 0 -> 1;
free_id(Asked) -> lists:max(maps:keys(Asked)) + 1.

%% What ErlPort's Python side has no type for crosses in a wrapper that holds its external format without the version byte.
wrap(Term) when is_pid(Term); is_port(Term); is_reference(Term); is_function(Term); is_bitstring(Term), not is_binary(Term) ->
    <<131, Data/binary>> = term_to_binary(Term, [{minor_version, 1}]),
    {'$erlport.opaque', erlang, Data};
wrap([Head | Tail]) ->
    [wrap(Head) | wrap(Tail)];
wrap(Tuple) when is_tuple(Tuple) ->
    list_to_tuple(wrap(tuple_to_list(Tuple)));
wrap(Map) when is_map(Map) ->
    maps:from_list([{wrap(Key), wrap(Value)} || {Key, Value} <- maps:to_list(Map)]);
wrap(Term) ->
    Term.
