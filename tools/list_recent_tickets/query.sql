-- One row is one ticket of the customer, newest first.
SELECT t.ticket_number, t.opened_at, t.state, t.subject
FROM tickets AS t
JOIN customers AS c USING (customer_id)
WHERE c.email = %(email)s
  AND (%(state)s::text IS NULL OR t.state = %(state)s)
ORDER BY t.opened_at DESC, t.ticket_number DESC
LIMIT %(limit)s
