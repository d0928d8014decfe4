// reprice sets the price of an article and tells the rest of the world, in one transaction: pgx and outbox.event.
// emit is the part to copy.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// emit inserts one event into the transaction of the caller: it is published if and only if that commits.
func emit(ctx context.Context, tx pgx.Tx, topic, key string, payload any, headers map[string]string) error {
	value, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("payload of an event for %s: %w", topic, err)
	}
	_, err = tx.Exec(ctx, `insert into outbox.event (topic, key, payload, headers) values ($1, $2, $3, $4)`,
		topic, []byte(key), value, headers)
	return err
}

// Priced is the payload of article.priced, whose key is the SKU.
type Priced struct {
	SKU        string `json:"sku"`
	PriceCents int    `json:"price_cents"`
}

// reprice never commits: it is given a transaction. The row first, and with it its lock, then the event: so the events of
// an article stand in the order of its prices.
func reprice(ctx context.Context, tx pgx.Tx, sku string, priceCents int) error {
	_, err := tx.Exec(ctx, `insert into article (sku, price_cents) values ($1, $2)
		on conflict (sku) do update set price_cents = excluded.price_cents`, sku, priceCents)
	if err != nil {
		return err
	}
	return emit(ctx, tx, "article.priced", sku, Priced{sku, priceCents},
		map[string]string{"content-type": "application/json", "editor": "Zoë"})
}

var errRefused = errors.New("refused, as asked")

func run(ctx context.Context, url, sku string, priceCents int, refuse bool) (exitCode int, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 69, err
	}
	defer conn.Close(ctx)
	// BeginFunc commits when the function returns nil, and rolls back when it returns an error
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := reprice(ctx, tx, sku, priceCents); err != nil {
			return err
		}
		if refuse {
			return errRefused
		}
		return nil
	})
	if err != nil && !errors.Is(err, errRefused) {
		return 1, err
	}
	return 0, nil
}

const usage = "usage: reprice postgresql://USER@HOST/DATABASE SKU CENTS commit|rollback"

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--help" {
		fmt.Println(usage)
		return
	}
	if len(os.Args) != 5 || (os.Args[4] != "commit" && os.Args[4] != "rollback") {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(64)
	}
	priceCents, err := strconv.ParseUint(os.Args[3], 10, 31)
	if err != nil {
		fmt.Fprintln(os.Stderr, "reprice: CENTS is a whole number from 0 on, not", os.Args[3])
		os.Exit(64)
	}
	exitCode, err := run(context.Background(), os.Args[1], os.Args[2], int(priceCents), os.Args[4] == "rollback")
	if err != nil {
		fmt.Fprintln(os.Stderr, "reprice:", err)
	}
	os.Exit(exitCode)
}
