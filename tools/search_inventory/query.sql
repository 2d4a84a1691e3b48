-- One row is one lot of a product that is not decommissioned.
SELECT sku, quantity, status
FROM inventory
WHERE sku = %(sku)s
  AND warehouse = %(warehouse)s
  AND status <> 'DECOMMISSIONED'
ORDER BY lot
