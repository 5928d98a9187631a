"""``streamgauge demo``: the main job on one machine, on realistic traffic.

``conversations`` writes what people and models said, ``sample_app`` sends it with the stock
OpenTelemetry SDK as any application would, ``run`` starts the stack, shows verdicts and the alert,
and answers an analyst's questions.
"""
