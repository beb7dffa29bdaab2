package approval

import (
	"context"

	"keyturn/internal/secret"
)

// Links gives a source of the sealer whose link-key is a secret; value is the
// secret's. It is read on first use and again as often as secrets are, so that
// a link-key that was replaced is taken without a new deployment.
func Links(value func(ctx context.Context, fresh bool) ([]byte, error)) func(ctx context.Context) (*Sealer, error) {
	return func(ctx context.Context) (*Sealer, error) { return secret.Parse(ctx, value, false, NewSealer) }
}
