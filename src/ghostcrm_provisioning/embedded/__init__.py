"""The PostgreSQL that comes with us: made, started, reused by several processes, stopped.

What it promises: one server per ``GHOSTCRM_HOME``; TCP on the loopback address only; SCRAM for
every login, with a generated password; it outlives the process that started it; a crash at any
instant is mended by the next start. What runs inside the server is no business of this package.

```
server.py                the two names that others use; the order in which things happen
cluster.py               the folder: layout, password, initdb
configuration.py         what the server is told
binaries.py              which initdb and postgres, and whether the service user may run them
service_user.py          as whom the server runs when we are root
search_permission.py     letting that one user through private parent folders
postmaster.py            the running process: proof that it is ours, launch, login
loopback_port.py         which port, and who has it
server_log.py            what the server said, turned into one of our errors
interprocess_lock.py     one process at a time
```
"""

from ghostcrm_provisioning.embedded.server import EmbeddedPostgres, RunningPostgres

__all__ = ["EmbeddedPostgres", "RunningPostgres"]
