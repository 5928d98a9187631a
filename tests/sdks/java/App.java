import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Scope;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.autoconfigure.AutoConfiguredOpenTelemetrySdk;
import io.opentelemetry.sdk.common.CompletableResultCode;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Four spans and three log records by the stock SDK; OTEL_ variables say where and how they go. */
public class App {
  public static void main(String[] arguments) {
    OpenTelemetrySdk sdk =
        AutoConfiguredOpenTelemetrySdk.builder().disableShutdownHook().build().getOpenTelemetrySdk();
    Tracer tracer = sdk.getTracer("sending-from-java");
    Span agent = tracer.spanBuilder("invoke_agent weather").startSpan();
    try (Scope around = agent.makeCurrent()) {
      agent.setAttribute("gen_ai.operation.name", "invoke_agent");
      for (String city : List.of("Paris", "Rome", "Zürich")) {
        Span span =
            tracer.spanBuilder("chat gpt-5-mini").setSpanKind(SpanKind.CLIENT).startSpan();
        try (Scope inside = span.makeCurrent()) {
          span.setAttribute("gen_ai.operation.name", "chat");
          span.setAttribute("gen_ai.provider.name", "openai");
          span.setAttribute("gen_ai.request.model", "gpt-5-mini");
          span.setAttribute("gen_ai.request.temperature", 0.5);
          span.setAttribute("gen_ai.usage.input_tokens", 12);
          span.setAttribute("gen_ai.usage.output_tokens", 7);
          span.setAttribute(
              AttributeKey.stringArrayKey("gen_ai.response.finish_reasons"), List.of("stop"));
          span.setAttribute(
              "gen_ai.input.messages", messages("user", "How is the weather in " + city + "?"));
          span.setAttribute(
              "gen_ai.output.messages", messages("assistant", "Sunny in " + city + "."));
          sdk.getLogsBridge()
              .get("sending-from-java")
              .logRecordBuilder()
              .setEventName("gen_ai.evaluation.result")
              .setBody(city)
              .setAttribute(AttributeKey.stringKey("gen_ai.evaluation.name"), "politeness")
              .setAttribute(AttributeKey.doubleKey("gen_ai.evaluation.score.value"), 0.25)
              .emit();
        } finally {
          span.end();
        }
      }
    } finally {
      agent.end();
    }
    CompletableResultCode stopped = sdk.shutdown().join(20, TimeUnit.SECONDS);
    if (!stopped.isSuccess()) {
      System.exit(1);
    }
    System.out.println("sent");
  }

  private static String messages(String role, String content) {
    return "[{\"role\":\"" + role + "\",\"parts\":[{\"type\":\"text\",\"content\":\"" + content + "\"}]}]";
  }
}
