%% Stands in for ErlPort's module of this name, so that the README's Elixir examples run as their reader would type them.
%%
%% The Python side is always this package's, also where the command is a bare interpreter, with which ErlPort would run its own.
-module(python).

-export([start/1, call/4, stop/1]).

start([{python, "python3"}]) ->
    erlport_peer:start([]);
start([{python, "python3 -m dspex_erl.port" ++ Arguments}]) ->
    erlport_peer:start([{arguments, Arguments}]).

call(Server, Module, Function, Args) ->
    erlport_peer:call(Server, Module, Function, Args).

stop(Server) ->
    erlport_peer:stop(Server).
