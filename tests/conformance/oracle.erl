%% What the BEAM says about external terms. It is asked over standard input and answers over standard output, in packets of
%% {packet, 4}; a packet holds one letter and then binaries, each with its length in 4 bytes before it.
%%
%%   g  Seed Count Mode   -> Count random terms in the external format; Mode 0: any keys, 1: none that Python would merge
%%   e  A1 B1 A2 B2 ...   -> one byte for each pair: 1 if both are terms and A =:= B, else 0
%%   d  A1 A2 ...         -> one byte for each: 1 if binary_to_term/1 reads it, else 0
%%   r  A1 A2 ...         -> each read and written again
-module(oracle).
-export([main/0]).

main() ->
    Port = open_port({fd, 0, 1}, [binary, {packet, 4}, eof]),
    loop(Port).

loop(Port) ->
    receive
        {Port, {data, <<Letter, Rest/binary>>}} ->
            port_command(Port, answer(Letter, parts(Rest))),
            loop(Port);
        {Port, eof} ->
            halt(0, [{flush, false}])
    end.

parts(<<Size:32, Part:Size/binary, Rest/binary>>) -> [Part | parts(Rest)];
parts(<<>>) -> [].

joined(Parts) -> [[<<(byte_size(P)):32>>, P] || P <- Parts].

answer($g, [<<Seed:32>>, <<Count:32>>, <<Mode>>]) ->
    rand:seed(exsss, Seed),
    joined([external(term(Mode, 6)) || _ <- lists:seq(1, Count)]);
answer($e, Parts) -> pairs(Parts);
answer($d, Parts) -> [readable(P) || P <- Parts];
answer($r, Parts) -> joined([term_to_binary(binary_to_term(P)) || P <- Parts]).

pairs([A, B | Rest]) -> [same(A, B) | pairs(Rest)];
pairs([]) -> [].

same(A, B) ->
    try binary_to_term(A) =:= binary_to_term(B) of
        true -> 1;
        false -> 0
    catch
        error:badarg -> 0
    end.

readable(A) ->
    try binary_to_term(A) of
        _ -> 1
    catch
        error:badarg -> 0
    end.

external(Term) ->
    case rand:uniform(6) of
        1 -> term_to_binary(Term, [compressed]);
        2 -> term_to_binary(Term, [{compressed, rand:uniform(9)}]);
        3 -> term_to_binary(Term, [{minor_version, 1}]);
        4 -> term_to_binary(Term, [{minor_version, 2}]);
        5 -> term_to_binary(Term, [{minor_version, 0}]);
        6 -> term_to_binary(Term)
    end.

term(Mode, 0) -> leaf(Mode);
term(Mode, Depth) ->
    case rand:uniform(10) of
        1 -> [term(Mode, Depth - 1) || _ <- range(6)];
        2 -> list_to_tuple([term(Mode, Depth - 1) || _ <- range(6)]);
        3 -> maps:from_list([{key(Mode, Depth - 1), term(Mode, Depth - 1)} || _ <- range(6)]);
        4 -> improper([term(Mode, Depth - 1) || _ <- [a | range(3)]], leaf(Mode));
        5 -> numbers();
        6 -> Keys = [key(Mode, 0) || _ <- range(5)],
             [maps:from_list([{K, leaf(Mode)} || K <- Keys]) || _ <- range(9)];
        7 -> [{atom(), term(Mode, Depth - 1)} || _ <- range(8)];
        _ -> leaf(Mode)
    end.

range(Max) -> lists:seq(1, rand:uniform(Max + 1) - 1).

improper([Head], Tail) -> [Head | Tail];
improper([Head | Rest], Tail) -> [Head | improper(Rest, Tail)].

numbers() ->
    Count = rand:uniform(300),
    case rand:uniform(5) of
        1 -> [rand:uniform(256) - 1 || _ <- lists:seq(1, Count)];
        2 -> [rand:uniform(1 bsl 31) - 1 || _ <- lists:seq(1, Count)];
        3 -> [float() || _ <- lists:seq(1, Count)];
        4 -> [rand:uniform(1000) - 500 || _ <- lists:seq(1, Count)];
        5 -> list_to_tuple([number() || _ <- lists:seq(1, Count)])
    end.

number() ->
    case rand:uniform(2) of
        1 -> integer();
        2 -> float()
    end.

leaf(_Mode) ->
    case rand:uniform(16) of
        1 -> integer();
        2 -> rand:uniform(256) - 1;
        3 -> float();
        4 -> atom();
        5 -> atom();
        6 -> crypto_free_bytes(rand:uniform(20) - 1);
        7 -> text();
        8 -> bits();
        9 -> [];
        10 -> {};
        11 -> #{};
        12 -> unicode:characters_to_list(text());
        13 -> binary_to_list(crypto_free_bytes(rand:uniform(30)));
        14 -> identifier();
        15 -> lists:nth(rand:uniform(6), [true, false, nil, undefined, null, '']);
        16 -> function()
    end.

integer() ->
    Bits = lists:nth(rand:uniform(8), [8, 31, 32, 33, 64, 200, 2039, 2050]),
    (rand:uniform(1 bsl Bits) - 1) * lists:nth(rand:uniform(2), [1, -1]).

float() ->
    <<F:64>> = crypto_free_bytes(8),
    case <<F:64>> of
        <<_:1, 16#7ff:11, _:52>> -> 0.0;
        <<X/float>> -> X
    end.

crypto_free_bytes(Count) -> << <<(rand:uniform(256) - 1)>> || _ <- lists:seq(1, Count) >>.

text() ->
    Letters = [$a, $z, $\s, 16#e9, 16#65e5, 16#1f600],
    unicode:characters_to_binary([lists:nth(rand:uniform(6), Letters) || _ <- range(12)]).

bits() ->
    Size = rand:uniform(40) - 1,
    <<Whole:Size/bitstring, _/bitstring>> = crypto_free_bytes(6),
    Whole.

atom() ->
    Name = case rand:uniform(4) of
        1 -> [$a + rand:uniform(26) - 1];
        2 -> "name_" ++ integer_to_list(rand:uniform(50));
        3 -> [lists:nth(rand:uniform(3), [16#e9, 16#65e5, 16#1f600]), $a + rand:uniform(9)];
        4 -> lists:duplicate(rand:uniform(255), lists:nth(rand:uniform(3), [$x, 16#e9, 16#65e5]))
    end,
    list_to_atom(Name).

identifier() ->
    case rand:uniform(4) of
        1 -> self();
        2 -> make_ref();
        3 -> hd(erlang:ports());
        4 -> lists:nth(rand:uniform(3), [binary_to_term(B) || B <- remote()])
    end.

remote() ->
    Node = <<119, 18, "other@host.example">>,
    [<<131, 88, Node/binary, 99:32, 1:32, 5:32>>, <<131, 90, 3:16, Node/binary, 5:32, 1:32, 2:32, 3:32>>, <<131, 120, Node/binary, 1:24, 7:40, 5:32>>].

function() ->
    Captured = {integer(), atom()},
    case rand:uniform(3) of
        1 -> fun lists:map/2;
        2 -> fun(X) -> {X, Captured} end;
        3 -> fun erlang:length/1
    end.

%% Python takes 1, 1.0 and true for one key, and in its own mapping of strings an atom and a binary of one text.
key(0, Depth) ->
    case rand:uniform(12) of
        1 -> 1;
        2 -> 1.0;
        3 -> true;
        4 -> 0;
        5 -> false;
        6 -> a;
        7 -> <<"a">>;
        8 -> "a";
        9 -> lists:nth(rand:uniform(4), [{1}, {1.0}, [1], [1.0]]);
        10 -> lists:nth(rand:uniform(4), [#{1 => 1}, #{1 => 1.0}, #{1.0 => 1}, #{}]);
        11 -> term(0, min(Depth, 2));
        12 -> leaf(0)
    end;
key(1, _Depth) ->
    case rand:uniform(7) of
        1 -> list_to_atom("atom_" ++ integer_to_list(rand:uniform(40)));
        2 -> <<"text_", (integer_to_binary(rand:uniform(40)))/binary>>;
        3 -> rand:uniform(1 bsl 40) + 1;
        4 -> {key, rand:uniform(40), [<<"a">>, #{b => []}]};
        5 -> [rand:uniform(255) + 1, a];
        6 -> self();
        7 -> <<255, (rand:uniform(255))>>
    end.
