%% Every kind of term goes to Python and comes back as it was.
-module(types_tests).
-include("port_case.hrl").

round_trip(Terms) -> round_trip(Terms, []).

%% One at a time, all as arguments of one call, and nested.
round_trip(Terms, Options) ->
    ?WITH(P, Options, begin
        [?assertEqual({N, Term}, {N, erlport_peer:call(P, port_mod, echo, [Term])})
            || {N, Term} <- lists:zip(lists:seq(1, length(Terms)), Terms)],
        ?assertEqual(Terms, erlport_peer:call(P, port_mod, echo_all, Terms)),
        Nested = {Terms, [Terms, {Terms}], #{terms => Terms, Terms => tail}},
        ?assertEqual(Nested, erlport_peer:call(P, port_mod, echo, [Nested]))
    end).

atoms_test() -> round_trip([ok, '', true, false, undefined, nil, none, 'with space', list_to_atom(lists:duplicate(255, $a))]).
latin_1_atoms_test() -> round_trip([list_to_atom([233, 255]), list_to_atom(lists:duplicate(255, 233))]).
utf8_atoms_test() -> round_trip([list_to_atom([26085, 26412]), list_to_atom(lists:duplicate(255, 26085)), list_to_atom([128_512])]).
same_bytes_atoms_test() ->
    %% The UTF-8 of the first is the Latin-1 of the second.
    round_trip([list_to_atom([26085]), list_to_atom([230, 151, 165])]).

small_integers_test() -> round_trip(lists:seq(-300, 300)).
edges_of_integers_test() ->
    round_trip([Sign * ((1 bsl Bits) + Offset) || Bits <- [8, 16, 27, 31, 32, 59, 60, 63, 64, 128, 2040, 2048],
        Offset <- [-1, 0, 1], Sign <- [1, -1]]).
floats_test() -> round_trip([0.5, -0.5, 1.0, 1.5e300, -1.5e-300, 2.2250738585072014e-308, 4.9406564584124654e-324, 3.141592653589793]).
negative_zero_test() ->
    ?WITH(P, [], ?assertEqual(term_to_binary(-0.0), term_to_binary(erlport_peer:call(P, port_mod, echo, [-0.0])))).

binaries_test() -> round_trip([<<>>, <<0>>, <<"text">>, <<"caf", 195, 169>>, <<255, 254>>, binary:copy(<<7>>, 100_000)]).
bitstrings_test() -> round_trip([<<1:1>>, <<5:3>>, <<1, 2:7>>, <<0:9>>]).
lists_test() -> round_trip([[], [a], [1, 2, 3], "text", [255, 256], [[], [[]]], lists:seq(1, 70_000), lists:duplicate(70_000, 1)]).
booleans_in_lists_test() -> round_trip([[true], [true, false], [true, 1, false, 0], lists:duplicate(300, true)]).
improper_lists_test() -> round_trip([[a | b], [1, 2 | 3], [[1 | 2] | {c}], [1 | <<"x">>]]).
tuples_test() -> round_trip([{}, {a}, {1, {2, {3}}}, list_to_tuple(lists:seq(1, 300))]).
maps_test() -> round_trip([#{}, #{a => 1}, #{<<"b">> => [1.5]}, #{{k, "x"} => #{y => z}}, maps:from_list([{N, N} || N <- lists:seq(1, 500)])]).
keys_that_python_would_merge_test() -> round_trip([#{a => 1, <<"a">> => 2}, #{1 => a, true => b, 1.0 => c}, #{0 => a, false => b, 0.0 => c}]).
maps_as_keys_test() -> round_trip([#{#{a => 1, 2 => b} => c}, #{[1, a, <<"x">>] => d, [#{1 => 2}] => e}]).

pids_test() -> round_trip([self(), list_to_pid("<0.1000.7>")]).
references_test() -> round_trip([make_ref(), make_ref()]).
ports_test() -> round_trip([hd(erlang:ports())]).
funs_test() ->
    X = 40,
    ?WITH(P, [], begin
        F = erlport_peer:call(P, port_mod, echo, [fun(Y) -> X + Y end]),
        ?assertEqual(42, F(2)),
        ?assertEqual(fun lists:sort/1, erlport_peer:call(P, port_mod, echo, [fun lists:sort/1]))
    end).
wrapped_inside_test() -> round_trip([{self(), [make_ref() | self()], #{self() => <<1:1>>, x => fun lists:sort/1}}]).

everything_with_packet_2_test() -> everything([{packet, 2}]).
everything_compressed_test() -> everything([{compressed, 6}]).
everything_without_stdio_test() -> everything([nouse_stdio]).
everything_concurrently_test() -> everything([{arguments, "--concurrency 4"}]).

everything(Options) ->
    round_trip([a, true, undefined, 1, -1, 1 bsl 100, 1.5, <<"b">>, <<1:3>>, [], [x], "s", [a | b], {}, {t}, #{k => v},
        #{a => 1, <<"a">> => 2}, self(), make_ref(), fun lists:sort/1], Options).

%% Our mapping: texts are texts in Python, and everything still comes back.
everything_as_str_test() ->
    Terms = [a, true, nil, 1, -1, 1 bsl 100, 1.5, <<"text">>, <<"caf", 195, 169>>, <<255>>, <<1:3>>, [], [x], "s", [a | b], {}, {t},
        #{k => v}, #{<<"a">> => 2}, self(), make_ref(), fun lists:sort/1],
    round_trip(Terms, [{arguments, "--strings str"}]).

str_kinds_test() ->
    ?WITH(P, [{arguments, "--strings str"}], begin
        ?assertEqual(<<"str">>, erlport_peer:call(P, port_mod, kind, [<<"text">>])),
        ?assertEqual(<<"bytes">>, erlport_peer:call(P, port_mod, kind, [<<255>>])),
        ?assertEqual(<<"NoneType">>, erlport_peer:call(P, port_mod, kind, [nil])),
        ?assertEqual(<<"dict">>, erlport_peer:call(P, port_mod, kind, [#{}])),
        ?assertEqual(<<"list">>, erlport_peer:call(P, port_mod, kind, [[a]]))
    end).

%% What Python's own values become.
from_python_test() ->
    ?WITH(P, [], begin
        ?assertEqual(undefined, erlport_peer:call(P, golden_mod, nothing, [])),
        ?assertEqual(ok, erlport_peer:call(P, golden_mod, atom, [])),
        ?assertEqual("caf\x{e9}", erlport_peer:call(P, golden_mod, text, [])),
        ?assertEqual({"a", <<"b">>}, erlport_peer:call(P, golden_mod, pair, [])),
        ?assertEqual(#{k => 1, <<"b">> => [1, 2], "s" => 2.5}, erlport_peer:call(P, golden_mod, mapping, [])),
        ?assertEqual(1 bsl 200, erlport_peer:call(P, golden_mod, big, [])),
        ?assertEqual([true, false, true], erlport_peer:call(P, port_mod, bools, [])),
        ?assertEqual([nan, infinity, neg_infinity, 1.5], erlport_peer:call(P, port_mod, floats, [])),
        ?assertEqual(#{"a" => 1}, erlport_peer:call(P, port_mod, subclass_of_dict, []))
    end).

deep_test() ->
    Deep = lists:foldl(fun(_, Inner) -> [Inner] end, [], lists:seq(1, 5000)),
    ?WITH(P, [], begin
        ?assertEqual(5000, erlport_peer:call(P, port_mod, depth_of, [Deep])),
        ?assertEqual(Deep, erlport_peer:call(P, port_mod, deep, [5000])),
        ?assertEqual(Deep, erlport_peer:call(P, port_mod, echo, [Deep]))
    end).

too_deep_test() ->
    Deep = lists:foldl(fun(_, Inner) -> [Inner] end, [], lists:seq(1, 1_000_000)),
    ?WITH(P, [], begin
        ?assertMatch({python, 'dspex_erl.errors.DecodeLimitError', _, _},
            port_case:error_of(fun() -> erlport_peer:call(P, port_mod, depth_of, [Deep]) end)),
        ?assertMatch({python, 'dspex_erl.errors.EncodeLimitError', _, _},
            port_case:error_of(fun() -> erlport_peer:call(P, port_mod, deep, [1_000_000]) end)),
        ?assertEqual(4, erlport_peer:call(P, operator, add, [2, 2]))
    end).

no_counterpart_test() ->
    ?WITH(P, [], begin
        ?assertMatch({python, 'dspex_erl.errors.EncodeError', _, _},
            port_case:error_of(fun() -> erlport_peer:call(P, port_mod, nothing_like_it, []) end)),
        ?assertEqual(4, erlport_peer:call(P, operator, add, [2, 2]))
    end).

%% What would be unpickled by stock ErlPort comes back untouched, and is refused where an atom says that it is a pickle.
pickles_test() ->
    ?WITH(P, [], begin
        Binaries = {<<"$erlport.opaque">>, <<"python">>, <<"cos\nsystem\n(S'true'\ntR.">>},
        ?assertEqual(Binaries, erlport_peer:call(P, port_mod, echo, [Binaries])),
        ?assertMatch({python, 'dspex_erl.errors.DecodeError', _, _},
            port_case:error_of(fun() ->
                erlport_peer:call(P, port_mod, echo, [{'$erlport.opaque', python, <<"cos\nsystem\n(S'true'\ntR.">>}])
            end)),
        Ruby = {'$erlport.opaque', ruby, <<1, 2>>},
        ?assertEqual(Ruby, erlport_peer:call(P, port_mod, echo, [Ruby]))
    end).

pickles_allowed_test() ->
    ?WITH(P, [{arguments, "--allow-pickle"}], begin
        Custom = erlport_peer:call(P, golden_mod, custom, [42]),
        ?assertMatch({'$erlport.opaque', python, _}, Custom),
        ?assertEqual(42, erlport_peer:call(P, golden_mod, custom_value, [Custom]))
    end).
