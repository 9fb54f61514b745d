-- name: become
-- Until the end of the transaction. The role is one of those that the login is a member of.
select set_config('role', %(role)s, true), set_config('request.jwt.claims', %(claims)s, true)
