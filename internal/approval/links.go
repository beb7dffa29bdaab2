package approval

import "context"

// Links gives a source of the sealer whose link-key is read by value, on first
// use and again as often as value does: a link-key that was replaced is taken
// without a new deployment.
func Links(value func(ctx context.Context, fresh bool) ([]byte, error)) func(ctx context.Context) (*Sealer, error) {
	return func(ctx context.Context) (*Sealer, error) {
		key, err := value(ctx, false)
		if err != nil {
			return nil, err
		}
		return NewSealer(key)
	}
}
