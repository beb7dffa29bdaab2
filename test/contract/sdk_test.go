package contract

import "github.com/okta/okta-sdk-golang/v5/okta"

var _ = okta.NewAPIClient
