-- One row is one line of the order; an order without lines is one row without a product.
SELECT o.order_number, o.placed_at, o.state, o.total, o.currency,
       l.sku, coalesce(l.quantity, 0) AS quantity
FROM orders AS o
LEFT JOIN order_lines AS l USING (order_id)
WHERE o.order_number = %(order_number)s
ORDER BY l.line
