-- The one table of this example: articles and their prices. Apply as the owner of the application's tables.

create table article (
  sku         text    primary key,
  price_cents integer not null check (price_cents >= 0)
);
