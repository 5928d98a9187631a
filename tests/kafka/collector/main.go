// A Collector with what the recipes use, and nothing else.
package main

import (
	"log"
	"os"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/exporter/otlphttpexporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/memorylimiterprocessor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
)

func components() (otelcol.Factories, error) {
	var factories otelcol.Factories
	var err error
	if factories.Receivers, err = otelcol.MakeFactoryMap[receiver.Factory](otlpreceiver.NewFactory()); err != nil {
		return factories, err
	}
	if factories.Processors, err = otelcol.MakeFactoryMap[processor.Factory](memorylimiterprocessor.NewFactory()); err != nil {
		return factories, err
	}
	factories.Telemetry = otelconftelemetry.NewFactory()
	factories.Exporters, err = otelcol.MakeFactoryMap[exporter.Factory](
		otlpexporter.NewFactory(), otlphttpexporter.NewFactory())
	return factories, err
}

// convert reads OTLP/JSON and writes both encodings with the marshalers of the kafka exporter.
func convert(signal, from, to string) error {
	value, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var binary, text []byte
	if signal == "traces" {
		data, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(value)
		if err != nil {
			return err
		}
		if binary, err = (&ptrace.ProtoMarshaler{}).MarshalTraces(data); err != nil {
			return err
		}
		if text, err = (&ptrace.JSONMarshaler{}).MarshalTraces(data); err != nil {
			return err
		}
	} else {
		data, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(value)
		if err != nil {
			return err
		}
		if binary, err = (&plog.ProtoMarshaler{}).MarshalLogs(data); err != nil {
			return err
		}
		if text, err = (&plog.JSONMarshaler{}).MarshalLogs(data); err != nil {
			return err
		}
	}
	if err := os.WriteFile(to+".otlp_proto", binary, 0o644); err != nil {
		return err
	}
	return os.WriteFile(to+".otlp_json", text, 0o644)
}

func main() {
	if len(os.Args) == 5 && os.Args[1] == "convert" {
		if err := convert(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			log.Fatal(err)
		}
		return
	}
	settings := otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{Command: "collector", Version: "test"},
		Factories: components,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{
			ResolverSettings: confmap.ResolverSettings{
				ProviderFactories: []confmap.ProviderFactory{
					envprovider.NewFactory(), fileprovider.NewFactory(), yamlprovider.NewFactory(),
				},
				DefaultScheme: "env",
			},
		},
	}
	if err := otelcol.NewCommand(settings).Execute(); err != nil {
		log.Fatal(err)
	}
}
