%% What every test module here begins with.
-include_lib("eunit/include/eunit.hrl").

%% Runs the body with a worker of its own, and stops it whatever happens.
-define(WITH(Server, Options, Body), port_case:with(Options, fun(Server) -> Body end)).
