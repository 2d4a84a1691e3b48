-- One row is one order, with its lines as a JSON array.
SELECT o.order_number, o.placed_at, o.state, o.total, o.currency,
       (SELECT jsonb_agg(jsonb_build_object('sku', l.sku, 'quantity', l.quantity) ORDER BY l.line)
        FROM order_lines AS l
        WHERE l.order_id = o.order_id) AS lines
FROM orders AS o
WHERE o.order_number = %(order_number)s
