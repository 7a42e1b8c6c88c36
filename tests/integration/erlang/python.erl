%% Stands in for ErlPort's module of this name, so that the README's Elixir example runs as its reader would type it.
-module(python).

-export([start/1, call/4, stop/1]).

start([{python, Command}]) ->
    "python3 -m dspex_erl.port" ++ Arguments = Command,
    erlport_peer:start([{arguments, Arguments}]).

call(Server, Module, Function, Args) ->
    erlport_peer:call(Server, Module, Function, Args).

stop(Server) ->
    erlport_peer:stop(Server).
