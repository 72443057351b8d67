"""The invocation function: takes a photo's address or the photo itself, answers with what the endpoint sees in it.

Deployed as a zip of this package, Python 3.11 or later, handler `invoke_endpoint.handler.lambda_handler`. Standard
library only. The function fetches the photo and sends its bytes on, so that the endpoint can run without internet.

Environment
    ENDPOINT_NAME       the SageMaker endpoint to ask; required
    ALLOWED_HOSTS       `host` (any port) or `host:port`, comma-separated: fetched although not https or not public
    DEBUG_RESPONSE      `1` adds `type-result` and `COntent-Type-In` to the answer; they disclose ARNs
    AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN     set by Lambda; the role's
    AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME, AWS_ENDPOINT_URL    where SageMaker's runtime is, when not at its usual address
    A required variable that is missing fails the invocation with an error naming it.

Event
    {"url": "https://..."} or {"image": "<base64 of a JPEG, PNG, GIF or WebP>"}, with an optional {"top_k": 5} (1 to the
    number of classes; 5 when it is not given); or an event of a Function URL or API Gateway (payload 1.0 or 2.0) with
    the same as its JSON body. Of an animation the first frame is looked at.

Answer
    statusCode     200
    headers        Content-Type, Access-Control-Allow-Origin, Access-Control-Expose-Headers, and X-Predictions: the
                   predictions as JSON, ten at most
    body           JSON text of the raw scores, one row with a float for each class: "[[-0.0179, 0.0294, ...]]"
    predictions    [{"label": "Pug", "probability": 0.93}, ...], best first; the softmax of the scores

    The body is the same whichever way the function is called. A caller over HTTP sees only status, headers and body,
    and has the labels from X-Predictions (ten at most, because API Gateway limits headers to 10 KB). API Gateway's REST
    APIs refuse an answer with keys they do not know, so events of payload 1.0 are answered without `predictions`.

Errors
    The same shape with the body {"error": {"code": ..., "message": ...}}; what lies behind it is in the log only.
    400 bad_request            no or malformed input, or a url of more than 8,192 characters
    400 photo_unavailable      the photo's server cannot be reached or does not hand it out
    403 address_not_allowed    not https on port 443, or not a public address
    413 photo_too_large        more than 6 MiB
    415 unsupported_type       not JPEG, PNG, GIF or WebP
    422 unreadable_image       broken, too many pixels, or no image at all
    502 endpoint_failed        the endpoint, or the right to call it, is missing or broken
    504 timed_out              the photo took over 5 s, or the endpoint longer than the function may run
    500 internal_error         a fault in the function

The log is one JSON line an invocation, with the Lambda request id; addresses are logged without their query string.
"""
