-- name: read_rows
select coalesce(json_agg(row_to_json(r)), '[]')::text as rows
from (select {columns} from {table} where {conditions} {order} limit {limit} offset {offset}) r
