-- The demo's own schema: a shop with stock, customers, orders and support tickets.
CREATE TABLE inventory (
    sku text NOT NULL,
    warehouse text NOT NULL,
    lot integer NOT NULL,
    quantity integer NOT NULL CHECK (quantity >= 0),
    status text NOT NULL CHECK (status IN ('IN_STOCK', 'RESERVED', 'BACKORDER', 'DECOMMISSIONED')),
    PRIMARY KEY (sku, warehouse, lot)
);
CREATE TABLE customers (
    customer_id integer PRIMARY KEY,
    email text NOT NULL UNIQUE,
    full_name text NOT NULL
);
CREATE TABLE orders (
    order_id integer PRIMARY KEY,
    order_number text NOT NULL UNIQUE,
    customer_id integer NOT NULL REFERENCES customers,
    placed_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('PLACED', 'PAID', 'SHIPPED', 'DELIVERED', 'RETURNED')),
    total numeric(10, 2) NOT NULL,
    currency text NOT NULL
);
CREATE TABLE order_lines (
    order_id integer NOT NULL REFERENCES orders,
    line integer NOT NULL,
    sku text NOT NULL,
    quantity integer NOT NULL,
    PRIMARY KEY (order_id, line)
);
CREATE TABLE tickets (
    ticket_number text PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    opened_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('OPEN', 'WAITING', 'CLOSED')),
    subject text NOT NULL
);
CREATE INDEX tickets_by_customer ON tickets (customer_id, opened_at DESC);
CREATE TABLE invoices (
    invoice_number text PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    issued_on date NOT NULL,
    amount numeric(10, 2) NOT NULL,
    currency text NOT NULL,
    state text NOT NULL CHECK (state IN ('OPEN', 'PAID'))
);
CREATE INDEX invoices_by_customer ON invoices (customer_id, issued_on DESC);

-- What the workers log in as: it may read these tables and do nothing else.
CREATE ROLE toolworker_reader LOGIN PASSWORD 'reader' NOSUPERUSER NOCREATEDB NOCREATEROLE;
GRANT SELECT ON inventory, customers, orders, order_lines, tickets, invoices TO toolworker_reader;

-- Of the invoices it sees those of the customer who is bound, and none while nobody is: the setting
-- is NULL before, and empty after, the first call that binds it in a session.
ALTER TABLE invoices ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_invoices ON invoices FOR SELECT TO toolworker_reader
    USING (customer_id = (SELECT nullif(current_setting('toolworker.customer_id', true), '')::integer));
