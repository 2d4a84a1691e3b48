-- 74,000 rows by formula, so that every load is the same: no clock, no randomness.
INSERT INTO inventory
SELECT (ARRAY['AB', 'CDX', 'KLMN', 'PQ'])[1 + n % 4] || '-' || (1000 + n / 4),
       warehouse,
       lot,
       (n * 37 + lot * 11 + length(warehouse)) % 240,
       (ARRAY['IN_STOCK', 'IN_STOCK', 'RESERVED', 'BACKORDER', 'DECOMMISSIONED'])[1 + (n + lot) % 5]
FROM generate_series(0, 3999) AS n,
     unnest(ARRAY['US-WEST', 'US-EAST', 'EU-CENTRAL']) AS warehouse,
     generate_series(1, 2) AS lot;

INSERT INTO customers
SELECT n,
       lower(first) || '.' || lower(last) || n || '@example.com',
       first || ' ' || last
FROM (
    SELECT n,
           (ARRAY['Ada', 'Ben', 'Chen', 'Dana', 'Emil', 'Fatima', 'Goran', 'Hana'])[1 + n % 8] AS first,
           (ARRAY['Abel', 'Brandt', 'Costa', 'Dubois', 'Eriksen', 'Fischer', 'Garcia'])[1 + n % 7] AS last
    FROM generate_series(1, 4000) AS n
) AS named;

INSERT INTO orders
SELECT n,
       'SO-' || (100000 + n),
       1 + (n * 7) % 4000,
       timestamptz '2026-01-01 08:00:00+00' + n * interval '31 minutes',
       (ARRAY['PLACED', 'PAID', 'SHIPPED', 'DELIVERED', 'RETURNED'])[1 + n % 5],
       (n * 1999 % 90000)::numeric / 100 + 9.90,
       (ARRAY['USD', 'EUR'])[1 + n % 2]
FROM generate_series(1, 10000) AS n;

INSERT INTO order_lines
SELECT n,
       line,
       (ARRAY['AB', 'CDX', 'KLMN', 'PQ'])[1 + (n + line) % 4] || '-' || (1000 + (n * 13 + line) % 1000),
       1 + (n + line) % 5
FROM generate_series(1, 10000) AS n,
     generate_series(1, 2) AS line;

INSERT INTO tickets
SELECT 'T-' || (500000 + n),
       1 + (n * 11) % 4000,
       timestamptz '2026-02-01 09:00:00+00' + n * interval '47 minutes',
       (ARRAY['OPEN', 'WAITING', 'CLOSED', 'CLOSED'])[1 + n % 4],
       (ARRAY['Parcel has not arrived', 'Wrong size delivered', 'Refund is missing',
              'Cannot log in', 'Change the delivery address'])[1 + n % 5]
FROM generate_series(1, 8000) AS n;

INSERT INTO invoices
SELECT 'R-' || (300000 + n),
       1 + (n * 13) % 4000,
       date '2026-01-05' + n % 300,
       (n * 2999 % 70000)::numeric / 100 + 4.90,
       (ARRAY['USD', 'EUR'])[1 + n % 2],
       (ARRAY['PAID', 'PAID', 'OPEN'])[1 + n % 3]
FROM generate_series(1, 8000) AS n;

ANALYZE inventory, customers, orders, order_lines, tickets, invoices;
