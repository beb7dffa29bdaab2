"""Runs MiniStack, and whatever else must not outlive the program that wants it.

    launch.py watch [--remove DIR] COMMAND...
    launch.py serve

`watch` runs COMMAND in a session of its own and ends it, with every process
that it started, as soon as standard input closes. The program that called
holds the other end of that pipe and writes nothing into it: when it stops,
crashes or is killed, the kernel closes the pipe. DIR is removed at the end.

`serve` is MiniStack on a free port of the loopback interface. The port is the
only line on standard output; the log goes to standard error. The environment
configures it as MiniStack documents, with KEYTURN_CALLBACK_SCALE and
KEYTURN_CALLBACK_TIMES (see callbacks below), and with KEYTURN_RECORDS (see
recording).

The definitions are written for AWS and run here unchanged, so what MiniStack
does differently from AWS is mended here, in the functions under "What is
substituted". Each replaces something that MiniStack's release RELEASE does;
with any other release this program refuses to start.
"""

import asyncio
import contextvars
import email.utils
import importlib.metadata
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import uuid

RELEASE = "1.5.33"

# What a stopped command gets to end by itself, in seconds. MiniStack needs
# less than a tenth of it to end the functions it runs.
GRACE = 5


def watch(command, remove):
    """Runs command until it ends or standard input closes; its exit status."""
    os.setsid()  # an interrupt typed at a terminal is the caller's to handle
    child = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    os.close(1)  # so that the caller sees when the command closes it
    parent = threading.Thread(target=end_with_parent, args=(child,), daemon=True)
    parent.start()
    status = child.wait()
    signal_group(child, signal.SIGKILL)
    if remove:
        parent.join()  # the caller may still want to read what is there
        shutil.rmtree(remove, ignore_errors=True)
    return status if status >= 0 else 128 - status


def end_with_parent(child):
    while os.read(0, 1024):
        pass
    signal_group(child, signal.SIGTERM)
    try:
        child.wait(GRACE)
    except subprocess.TimeoutExpired:
        signal_group(child, signal.SIGKILL)


def signal_group(child, number):
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # nobody left in it; macOS says EPERM when only zombies are


def serve():
    try:
        found = importlib.metadata.version("ministack")
    except importlib.metadata.PackageNotFoundError:
        found = "none"
    if found != RELEASE:
        sys.exit(f"launch.py is written for MiniStack {RELEASE}, found {found}: run `make setup`")

    # The socket listens before MiniStack is loaded: its modules read the port
    # from the environment when they are imported, and no other process can
    # take a port that was only looked up.
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    port = str(listener.getsockname()[1])
    os.environ["GATEWAY_PORT"] = port
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"

    from hypercorn.asyncio import serve as hypercorn
    from hypercorn.config import Config
    from ministack import app
    from ministack.core import iam_actions, iam_evaluator, lambda_runtime
    from ministack.services import eventbridge, s3, stepfunctions
    from ministack.services.cloudformation import changesets, engine, handlers, provisioners, stacks

    # First, so that it sees what those below ask in a role's name as well.
    if directory := os.environ.get("KEYTURN_RECORDS"):
        recording(directory, iam_evaluator, stepfunctions, eventbridge, provisioners)
    conditions(engine, changesets, handlers, stacks)
    callbacks(stepfunctions, float(os.environ.get("KEYTURN_CALLBACK_SCALE", "1")),
              json.loads(os.environ.get("KEYTURN_CALLBACK_TIMES", "[]")))
    task_tokens(stepfunctions)
    jsonata(stepfunctions)
    mail_authorization(app)
    mail_attachments(app)
    answer_authorization(iam_actions, stepfunctions)
    event_authorization(iam_actions)
    key_authorization(iam_actions)
    object_authorization(app, s3, iam_evaluator)
    transport(app)
    private_ca(app, iam_actions)

    def stop():
        lambda_runtime.reset()
        os._exit(0)

    def end_with_watch():
        while os.read(0, 1024):
            pass
        stop()

    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=stop).start())
    threading.Thread(target=end_with_watch, daemon=True).start()

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.keep_alive_timeout = 75  # as MiniStack's own start
    config.loglevel = "WARNING"
    print(port, flush=True)
    os.dup2(2, 1)  # nobody reads on

    async def run():
        await hypercorn(app.app, config, shutdown_trigger=asyncio.Event().wait)

    asyncio.run(run())


# What is recorded ------------------------------------------------------------


def recording(directory, iam_evaluator, sfn, eventbridge, provisioners):
    """What the roles of stacks may do, and what was done in their name.

    Lines of JSON in directory/aws-{pid}.jsonl, each once:

        {"cloud", "stack", "role", "policies": [{"Statement": ...}]}
        {"cloud", "stack", "role", "by", "action", "resource", "context", "allowed"}

    cloud tells apart the runs of this program. role and by are logical ids of
    the template; by is the function, state machine, rule or schedule that asked.
    policies are as deployed, with every transform applied and every intrinsic
    function resolved; a role that is changed gets another line. context has the
    condition keys that the role's policies name. allowed is what IAM decided;
    MiniStack does not ask it about state machines, rules and schedules.

    CloudWatch Logs and X-Ray, to which Lambda and Step Functions write with the
    same roles, are not seen.
    """
    cloud = uuid.uuid4().hex[:12]
    file = os.open(os.path.join(directory, f"aws-{os.getpid()}.jsonl"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    names = {}  # physical name, or its end -> (stack, logical id)
    keys = {}  # role's name -> condition keys of its policies, in lower case
    seen = set()
    lock = threading.Lock()
    running = contextvars.ContextVar("machine", default="")

    def write(**record):
        line = json.dumps({"cloud": cloud, **record}, sort_keys=True)
        with lock:
            if line not in seen:
                seen.add(line)
                os.write(file, line.encode() + b"\n")

    def short(name):
        """A role, function, machine, rule or schedule without what stands before its name."""
        return name.rpartition(":")[2].rpartition("/")[2].rpartition("|")[2]

    def call(role, by, action, resource, context, allowed):
        stack, logical = names.get(("AWS::IAM::Role", short(role)), ("", short(role)))
        kind, name = by
        wanted = keys.get(short(role), ())
        write(stack=stack, role=logical, by=names.get((kind, short(name)), ("", short(name)))[1], action=action,
              resource=resource, allowed=allowed,
              context={k: v for k, v in (context or {}).items() if k.lower() in wanted})

    def keep(kind, stack, logical, props, physical):
        names[kind, short(physical)] = stack, logical
        if kind == "AWS::IAM::Role":
            policies = [p["PolicyDocument"] for p in props.get("Policies", [])]
            statements = [s for p in policies for s in (p["Statement"] if isinstance(p["Statement"], list) else [p["Statement"]])]
            keys[short(physical)] = {k.lower() for s in statements for test in s.get("Condition", {}).values() for k in test}
            write(stack=stack, role=logical, policies=policies, managed=props.get("ManagedPolicyArns", []))

    def watch(kind):
        handler = provisioners._RESOURCE_HANDLERS[kind]
        create = handler["create"]

        def patched_create(logical, props, stack):
            made = create(logical, props, stack)
            keep(kind, stack, logical, props, made[0])
            return made

        handler["create"] = patched_create

    for kind in ("AWS::IAM::Role", "AWS::Lambda::Function", "AWS::StepFunctions::StateMachine",
                 "AWS::Scheduler::Schedule", "AWS::Events::Rule"):
        watch(kind)
    role = provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"]
    update_role = role["update"]

    def patched_update_role(physical, old, new, stack, logical):
        made = update_role(physical, old, new, stack, logical)
        keep("AWS::IAM::Role", stack, logical, new, made[0])
        return made

    role["update"] = patched_update_role

    enforce = iam_evaluator.enforce

    def patched_enforce(access_key_id, iam_action, service, region, resource_arn="*", service_context=None):
        result = enforce(access_key_id, iam_action, service, region, resource_arn=resource_arn, service_context=service_context)
        from ministack.services import sts

        # arn:aws:sts::{account}:assumed-role/{role}/{function}
        session = (sts._sessions.get(access_key_id) or {}).get("Arn", "").split("/")
        if len(session) == 3 and not isinstance(result, iam_evaluator.AuthError):
            call(session[1], ("AWS::Lambda::Function", session[2]), iam_action, resource_arn, service_context, result is None)
        return result

    iam_evaluator.enforce = patched_enforce

    execute_task = sfn._execute_task
    call_lambda = sfn._call_lambda
    put_events = "arn:aws:states:::events:putEvents"
    invoke_put_events = sfn._SERVICE_DISPATCH[put_events]
    invoke_target = eventbridge._invoke_target

    def machine_calls(action, resource, context=None):
        machine = sfn._state_machines[running.get()]
        call(machine["roleArn"], ("AWS::StepFunctions::StateMachine", running.get()), action, resource, context, True)

    def patched_execute_task(state, data, execution, ctx):
        mark = running.set(ctx["StateMachine"]["Id"])
        try:
            return execute_task(state, data, execution, ctx)
        finally:
            running.reset(mark)

    def patched_call_lambda(function, event):
        from ministack.services import lambda_svc

        config = lambda_svc._get_func_record_for_ref(function)[1]
        machine_calls("lambda:InvokeFunction", config["FunctionArn"] if config else function)
        return call_lambda(function, event)

    def patched_put_events(resource, data):
        from ministack.core.responses import get_account_id

        for entry in data["Entries"]:
            machine_calls("events:PutEvents", f"arn:aws:events:{sfn.get_region()}:{get_account_id()}:event-bus/"
                          + short(entry.get("EventBusName") or "default"), {"events:source": entry["Source"]})
        return invoke_put_events(resource, data)

    def patched_invoke_target(target, event, rule, *more):
        if target.get("RoleArn") and ":states:" in target["Arn"]:
            kind = "AWS::Scheduler::Schedule" if event.get("Source") == "aws.scheduler" else "AWS::Events::Rule"
            call(target["RoleArn"], (kind, rule["Name"]), "states:StartExecution", target["Arn"], None, True)
        return invoke_target(target, event, rule, *more)

    sfn._execute_task = patched_execute_task
    sfn._call_lambda = patched_call_lambda
    sfn._SERVICE_DISPATCH[put_events] = patched_put_events
    eventbridge._invoke_target = patched_invoke_target


# What is substituted ---------------------------------------------------------


def conditions(engine, *users):
    """Fn::Join in the Conditions of a template.

    AWS: has it. MiniStack takes it for a value that equals nothing, so that
    every stack got what only those with a list have.
    """
    evaluate_conditions = engine._evaluate_conditions

    def joined(value, params):
        if isinstance(value, list):
            return [joined(v, params) for v in value]
        if not isinstance(value, dict):
            return value
        if "Fn::Join" in value:
            delimiter, items = value["Fn::Join"]
            if isinstance(items, dict):  # a list that is a parameter
                items = params[items["Ref"]]["Value"].split(",")
            return delimiter.join(params[i["Ref"]]["Value"] if isinstance(i, dict) else i for i in items)
        return {k: joined(v, params) for k, v in value.items()}

    def patched_evaluate_conditions(template, params):
        return evaluate_conditions({**template, "Conditions": joined(template.get("Conditions", {}), params)}, params)

    for module in (engine, *users):
        module._evaluate_conditions = patched_evaluate_conditions


def callbacks(sfn, scale, times):
    """Tasks that wait for a token, `.waitForTaskToken`.

    AWS: when the Lambda function that is to pass the token on fails, the task
    fails with the function's error, and Retry and Catch apply; each retry has
    a token of its own. MiniStack drops the error, waits for an answer that
    nobody can give, and retries with the token of the first attempt.

    AWS: TimeoutSeconds may be a JSONata expression. MiniStack takes numbers.

    AWS: a TaskScheduled event in the history shows the task's arguments.
    MiniStack leaves them out.

    Here only: scale multiplies TimeoutSeconds of these tasks, so that a person
    may have days on AWS and seconds in a test. times, [[from, to, lasts], ...] in
    seconds, are those that it leaves alone: one of from to to lasts lasts.
    SFN_WAIT_SCALE, MiniStack's own setting for Wait and for the pauses between
    retries, leaves all of them alone.
    """
    waiting = threading.local()
    call_lambda = sfn._call_lambda
    execute_task = sfn._execute_task
    apply_arguments = sfn._apply_jsonata_arguments
    invoke_with_callback = sfn._invoke_with_callback
    add_event = sfn._add_event

    class Task(dict):
        """A Task state, of which an attempt may replace fields; written is the original."""

        def __init__(self, written):
            super().__init__(written)
            self.written = written

    def patched_execute_task(state, data, execution, ctx):
        return execute_task(Task(state), data, execution, ctx)

    # Runs once for each attempt, first, and where Retry and Catch can see what
    # it raises.
    def patched_apply_arguments(state, data, ctx=None):
        if not isinstance(state, Task):
            return apply_arguments(state, data, ctx)
        if ".waitForTaskToken" in state.get("Resource", ""):
            ctx["Task"] = {"Token": sfn.new_uuid()}
        arguments = apply_arguments(state, data, ctx)
        if isinstance(state.written.get("TimeoutSeconds"), str):
            seconds = sfn._jsonata_state_field(state.written, "TimeoutSeconds", "number", data, ctx)
            if seconds != int(seconds) or not 0 < seconds <= 99999999:
                raise sfn._ExecutionError(
                    "States.QueryEvaluationError",
                    f"The TimeoutSeconds field must be a positive integer, but was: {json.dumps(seconds)}")
            state["TimeoutSeconds"] = int(seconds)
        waiting.arguments = arguments
        return arguments

    # Follows the arguments in the same thread.
    def patched_add_event(execution, event_type, details=None):
        if event_type == "TaskScheduled":
            task = {**details["taskScheduledEventDetails"], "region": sfn.get_region(),
                    "parameters": json.dumps(getattr(waiting, "arguments", None))}
            details = {"taskScheduledEventDetails": task}
        return add_event(execution, event_type, details)

    def patched_invoke_with_callback(resource, data, token, state):
        waiting.token = token
        if "TimeoutSeconds" in state:
            seconds = state["TimeoutSeconds"]
            lasts = next((lasts for low, high, lasts in times if low <= seconds <= high), seconds * scale)
            state = {**state, "TimeoutSeconds": lasts}
        try:
            return invoke_with_callback(resource, data, token, state)
        finally:
            waiting.token = None

    def patched_call_lambda(function, event):
        try:
            return call_lambda(function, event)
        except sfn._ExecutionError as error:
            task = sfn._task_tokens.get(getattr(waiting, "token", None))
            if task is not None and not task["event"].is_set():
                task["error"] = {"Error": error.error, "Cause": error.cause}
                task["event"].set()
            raise

    sfn._add_event = patched_add_event
    sfn._execute_task = patched_execute_task
    sfn._apply_jsonata_arguments = patched_apply_arguments
    sfn._invoke_with_callback = patched_invoke_with_callback
    sfn._call_lambda = patched_call_lambda


def task_tokens(sfn):
    """SendTaskSuccess and SendTaskFailure.

    AWS: the first answer counts; one for a task that is over is refused as
    TaskTimedOut, one with a string that never was a token as InvalidToken.
    MiniStack takes a second answer, in place of the first, until the waiting
    execution has noticed; it refuses both others as TaskDoesNotExist.
    """
    issued = set()
    answering = threading.Lock()
    invoke_with_callback = sfn._invoke_with_callback

    def patched_invoke_with_callback(resource, data, token, state):
        issued.add(token)
        return invoke_with_callback(resource, data, token, state)

    def first(answer):
        def patched(data):
            token = data.get("taskToken")
            with answering:
                task = sfn._task_tokens.get(token)
                if task is not None and not task["event"].is_set():
                    return answer(data)
            if token in issued:
                return sfn.error_response_json(
                    "TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'", 400)
            return sfn.error_response_json("InvalidToken", "Invalid Token: 'Invalid token'", 400)
        return patched

    sfn._invoke_with_callback = patched_invoke_with_callback
    sfn._send_task_success = first(sfn._send_task_success)
    sfn._send_task_failure = first(sfn._send_task_failure)


def jsonata(sfn):
    """Output of a Succeed state, and Assign.

    AWS: a JSONata Succeed state has Output. MiniStack passes its input on.

    AWS: all expressions of one Assign see the variables as they were before.
    MiniStack evaluates them in turn, each with the new values of those above.
    """
    apply_output_path = sfn._apply_output_path
    apply_assign = sfn._apply_state_assign

    def patched_apply_output_path(state, data, ctx=None):
        if state.get("Type") == "Succeed" and sfn._state_query_language(state, ctx) == "JSONata":
            return sfn._apply_jsonata_output(state, data, ctx, default=data)
        return apply_output_path(state, data, ctx)

    def patched_apply_assign(state, data, ctx, result=None, error_output=None):
        if ctx is None:
            return
        before = ctx.setdefault("variables", {})
        after = dict(before)
        for name, value in (state.get("Assign") or {}).items():
            scratch = {**ctx, "variables": dict(before)}
            apply_assign({**state, "Assign": {name: value}}, data, scratch, result, error_output)
            if name in scratch["variables"]:
                after[name] = scratch["variables"][name]
        before.update(after)

    sfn._apply_output_path = patched_apply_output_path
    sfn._apply_state_assign = patched_apply_assign


def mail_authorization(app):
    """Whether a role may call ses:SendEmail.

    AWS: decided for the identity that sends, the address itself or else its
    domain, with the condition key ses:FromAddress. MiniStack decides for "*"
    and knows no such key, so that only a policy without both would pass.
    """
    sender = contextvars.ContextVar("sender", default="")
    enforce_ses_v2 = app._enforce_ses_v2
    enforce_data_plane = app._enforce_data_plane

    def patched_enforce_ses_v2(method, path, headers, body, query, request_id):
        try:
            header = json.loads(body).get("FromEmailAddress") or ""
        except (ValueError, AttributeError):
            header = ""
        mark = sender.set(email.utils.parseaddr(header)[1])
        try:
            return enforce_ses_v2(method, path, headers, body, query, request_id)
        finally:
            sender.reset(mark)

    def patched_enforce_data_plane(service, action, headers, query, request_id, **how):
        address = sender.get()
        if action == "ses:SendEmail" and address:
            from ministack.core.responses import get_account_id
            from ministack.services import ses_v2

            identity = address if ses_v2._identities.get(address) else address.rpartition("@")[2]
            region = app.extract_region(headers, query)
            arn = f"arn:aws:ses:{region}:{get_account_id()}:identity/{identity}"
            how.update(resource_arn=arn, named_resource=arn, service_context={"ses:FromAddress": address})
        return enforce_data_plane(service, action, headers, query, request_id, **how)

    app._enforce_ses_v2 = patched_enforce_ses_v2
    app._enforce_data_plane = patched_enforce_data_plane


def mail_attachments(app):
    """The attachments of a mail.

    AWS: a simple message goes out with its attachments. MiniStack drops them,
    and its list of mails has no place for them. Here the list has Attachments,
    as the request had them.
    """
    from ministack.services import ses_v2

    kept = {}  # message id -> attachments
    handle_request = ses_v2.handle_request
    handle_messages = app._handle_ses_messages_request

    async def patched_handle_request(method, path, headers, body, query_params):
        answer = await handle_request(method, path, headers, body, query_params)
        try:
            sent = json.loads(body)["Content"]["Simple"]["Attachments"]
            kept[json.loads(answer[2])["MessageId"]] = sent
        except (ValueError, KeyError, TypeError):
            pass  # another operation, a mail without attachments, or a refusal
        return answer

    async def patched_handle_messages(method, path, headers, query_params):
        answer = await handle_messages(method, path, headers, query_params)
        if answer is None or answer[0] != 200:
            return answer
        box = json.loads(answer[2])
        for mails in box["messages"].values():
            for mail in mails:
                mail["Attachments"] = kept.get(mail["MessageId"], [])
        return answer[0], answer[1], json.dumps(box).encode()

    ses_v2.handle_request = patched_handle_request
    app._handle_ses_messages_request = patched_handle_messages


def answer_authorization(iam_actions, sfn):
    """Whether a role may answer a task token.

    AWS: decided for the state machine that the token belongs to, as its
    refusals say ("not authorized to perform: states:SendTaskFailure on
    resource: arn:aws:states:...:stateMachine:..."). MiniStack decides for "*",
    so that only a policy without a resource would pass.
    """
    machines = {}
    running = threading.local()
    execute_task = sfn._execute_task
    invoke_with_callback = sfn._invoke_with_callback
    extract_resource_arn = iam_actions.extract_resource_arn

    def patched_execute_task(state, data, execution, ctx):
        running.machine = ctx["StateMachine"]["Id"]
        return execute_task(state, data, execution, ctx)

    def patched_invoke_with_callback(resource, data, token, state):
        machines[token] = running.machine
        return invoke_with_callback(resource, data, token, state)

    def patched_extract_resource_arn(service, method, path, headers, body, *more):
        if service == "states":
            try:
                token = json.loads(body).get("taskToken")
            except (ValueError, AttributeError):
                token = None
            if token in machines:
                return machines[token]
        return extract_resource_arn(service, method, path, headers, body, *more)

    sfn._execute_task = patched_execute_task
    sfn._invoke_with_callback = patched_invoke_with_callback
    iam_actions.extract_resource_arn = patched_extract_resource_arn


def event_authorization(iam_actions):
    """Whether a role may put events.

    AWS: decided with the condition key events:source, the entry's Source.
    MiniStack knows no such key, so that only a policy without it would pass.
    """
    request_tag_context = iam_actions.request_tag_context

    def patched_request_tag_context(service, action, body, *more):
        context = request_tag_context(service, action, body, *more)
        if action == "events:PutEvents":
            try:
                sources = {entry.get("Source") for entry in json.loads(body)["Entries"]}
            except (ValueError, KeyError, TypeError, AttributeError):
                sources = set()
            if len(sources) == 1:
                context = {**context, "events:source": sources.pop()}
        return context

    iam_actions.request_tag_context = patched_request_tag_context


def key_authorization(iam_actions):
    """Whether a role may sign with a KMS key.

    AWS: decided with the condition keys kms:MessageType and
    kms:SigningAlgorithm. MiniStack knows neither, so that only a policy without
    them would pass.
    """
    request_tag_context = iam_actions.request_tag_context

    def patched_request_tag_context(service, action, body, *more):
        context = request_tag_context(service, action, body, *more)
        if action == "kms:Sign":
            asked = json.loads(body)
            context = {**context, "kms:MessageType": asked.get("MessageType") or "RAW",
                       "kms:SigningAlgorithm": asked.get("SigningAlgorithm") or ""}
        return context

    iam_actions.request_tag_context = patched_request_tag_context


def object_authorization(app, s3, iam_evaluator):
    """Whether a role may hear that an object is not there.

    AWS: to read an object that is not there answers 404 to who may list the
    bucket, and 403 to everybody else; a write with If-Match reads as well.
    MiniStack asks for neither right, so that a policy without them would pass.
    """
    handle_request = s3.handle_request

    def may(action, resource, headers, query_params):
        return not app.AUTH or iam_evaluator.enforce(
            app.extract_access_key_id(headers, query_params), action, "s3",
            app.extract_region(headers, query_params), resource_arn=f"arn:aws:s3:::{resource}") is None

    def refused(path):
        return s3._error("AccessDenied", "Access Denied", 403, path)

    async def patched_handle_request(method, path, headers, body, query_params, *more, **named):
        bucket, key = s3._parse_bucket_key(path, headers)
        if method == "PUT" and key and "if-match" in headers and not may("s3:GetObject", f"{bucket}/{key}", headers, query_params):
            return refused(path)
        answer = await handle_request(method, path, headers, body, query_params, *more, **named)
        missing = answer[0] == 404 and method in ("GET", "HEAD") and key and bucket in s3._buckets
        if missing and not may("s3:ListBucket", bucket, headers, query_params):
            return refused(path)
        return answer

    s3.handle_request = patched_handle_request


def transport(app):
    """The condition key aws:SecureTransport.

    Here only: every request counts as one by TLS, which the loopback interface
    does not have, so that a bucket policy that refuses all others applies.
    """
    pin_request_origin = app.pin_request_origin
    app.pin_request_origin = lambda address, _secure: pin_request_origin(address, True)


def private_ca(app, iam_actions):
    """AWS Private CA (acm-pca).

    MiniStack has none. What is asked of it is answered by moto's, in this
    process, which issues certificates that verify but looks neither at the
    validity nor at the extensions that are asked for. Roles are decided as on
    AWS: for the CA, with the condition key acm-pca:TemplateArn.
    """
    prefix = "ACMPrivateCA."
    detect_service = app.detect_service
    extract_iam_action = iam_actions.extract_iam_action
    extract_resource_arn = iam_actions.extract_resource_arn
    request_tag_context = iam_actions.request_tag_context
    lock = threading.Lock()
    client = []

    def operation(headers):
        target = headers.get("x-amz-target", "")
        return target[len(prefix):] if target.startswith(prefix) else ""

    def field(body, name):
        try:
            return json.loads(body).get(name) or ""
        except (ValueError, AttributeError):
            return ""

    def ask_moto(headers, body):
        with lock:  # moto's server is not made for several threads
            if not client:
                os.environ["MOTO_ACCOUNT_ID"] = "000000000000"  # MiniStack's
                from moto.moto_server.werkzeug_app import (
                    DomainDispatcherApplication,
                    create_backend_app,
                )
                from werkzeug.test import Client

                client.append(Client(DomainDispatcherApplication(create_backend_app)))
            keep = ("authorization", "content-type", "x-amz-date", "x-amz-target", "x-amz-security-token")
            answer = client[0].post("/", headers={k: v for k, v in headers.items() if k in keep}, data=body)
            return answer.status_code, {"Content-Type": "application/x-amz-json-1.1"}, answer.data

    async def handle(method, path, headers, body, query_params):
        return await asyncio.to_thread(ask_moto, headers, body)

    def patched_detect_service(method, path, headers, query_params):
        return "acm-pca" if operation(headers) else detect_service(method, path, headers, query_params)

    def patched_extract_iam_action(service, method, path, headers, *more):
        if service == "acm-pca":
            return "acm-pca:" + operation(headers)
        return extract_iam_action(service, method, path, headers, *more)

    def patched_extract_resource_arn(service, method, path, headers, body, *more):
        if service == "acm-pca":
            return field(body, "CertificateAuthorityArn") or "*"
        return extract_resource_arn(service, method, path, headers, body, *more)

    def patched_request_tag_context(service, action, body, *more):
        context = request_tag_context(service, action, body, *more)
        if action == "acm-pca:IssueCertificate" and field(body, "TemplateArn"):
            context = {**context, "acm-pca:TemplateArn": field(body, "TemplateArn")}
        return context

    app.SERVICE_HANDLERS["acm-pca"] = handle
    app.detect_service = patched_detect_service
    iam_actions.extract_iam_action = patched_extract_iam_action
    iam_actions.extract_resource_arn = patched_extract_resource_arn
    iam_actions.request_tag_context = patched_request_tag_context


if __name__ == "__main__":
    verb, arguments = sys.argv[1], sys.argv[2:]
    if verb == "serve":
        serve()
    elif arguments[0] == "--remove":
        sys.exit(watch(arguments[2:], arguments[1]))
    else:
        sys.exit(watch(arguments, None))
