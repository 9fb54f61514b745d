"""Exports: a client's data as files that PostgreSQL's own pg_restore reads.

```
programs.py   which pg_dump and pg_restore
dump.py       one export: what is dumped, in which snapshot, and how it is seen to be whole
manifest.py   what the files say about themselves, and whether they are still so
recording.py  exports in the control database
```
"""
