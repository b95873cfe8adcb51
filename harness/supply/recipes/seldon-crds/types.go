// Package crds names the packages that hold the types, so that go.mod keeps their module.
package crds

import (
	_ "github.com/seldonio/seldon-core/operator/apis/machinelearning.seldon.io/v1"
	_ "github.com/seldonio/seldon-core/operator/apis/machinelearning.seldon.io/v1alpha2"
	_ "github.com/seldonio/seldon-core/operator/apis/machinelearning.seldon.io/v1alpha3"
)
