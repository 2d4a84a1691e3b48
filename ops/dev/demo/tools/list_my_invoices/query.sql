-- One row is one invoice of the caller: the policy of invoices shows no other one.
SELECT i.invoice_number, i.issued_on, i.amount, i.currency, i.state
FROM invoices AS i
WHERE %(state)s::text IS NULL OR i.state = %(state)s
ORDER BY i.issued_on DESC, i.invoice_number DESC
LIMIT 3
