"""The Logic App asks people and passes on what they said. It decides nothing, and no way through it makes an approval up."""
import base64
import itertools
import json
import unittest
from pathlib import Path

import jsonschema

from workflow import FAILED, SUCCEEDED, TIMED_OUT, Run

FOLDER = Path(__file__).parents[2] / 'infra/approvals'
PROOF = 'proof-that-only-the-question-carries-0123456789'
TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
RECIPIENTS = {'dba': {'via': 'teams', 'team': 'T', 'channel': 'C'}, 'security': {'via': 'email', 'to': 'security@example.com'}}
SENDS = ('send_not_asked', 'send_answer', 'send_no_answer', 'send_no_answer_after_all', 'send_too_late')
PERSON = {'tenantId': 'tenant', 'objectId': 'person', 'userPrincipalName': 'dana@example.com'}


def question(**changes):
    return {
        'approval_id': 'apr_' + 'a' * 48, 'asks': 'run', 'found': '', 'session_id': 'ses_' + 'a' * 32, 'digest': 'sha256:' + 'b' * 64,
        'expires_at': '2030-01-01T00:00:00Z', 'proof': PROOF, 'seats': [{'id': 'dba/1', 'group': 'dba'}],
        'principal': 'agent:crm-bot', 'connection': 'crm', 'effect': 'destructive', 'why': 'it deletes rows',
        'statement': 'DELETE FROM customers WHERE id = $1', 'params': ['7', None], 'reach': 'about 1 row', 'reason': '', **changes}


def message(body):
    text = body if isinstance(body, str) else json.dumps(body)
    return {'ContentData': base64.b64encode(text.encode()).decode(), 'LockToken': 'lock', 'Properties': {'traceparent': TRACE}}


def teams(decision, **person):
    return {'data': {'decision': decision, 'comment': 'ok'}, 'responder': {**PERSON, **person}}


def email(option, address='dana@example.com'):
    return {'SelectedOption': option, 'UserEmailAddress': address}


# Everything a person, a connector or nobody could answer, and whether it approves.
IN_TEAMS = [
    ((SUCCEEDED, teams('approve')), 'approve'), ((SUCCEEDED, teams('deny')), 'deny'),
    ((SUCCEEDED, teams('Approve')), None), ((SUCCEEDED, teams('approved')), None), ((SUCCEEDED, teams(None)), None),
    ((SUCCEEDED, teams(True)), None), ((SUCCEEDED, teams({'decision': 'approve'})), None),
    ((SUCCEEDED, teams('approve', userPrincipalName='')), None), ((SUCCEEDED, teams('approve', userPrincipalName=None)), None),
    ((SUCCEEDED, {'data': {'decision': 'approve'}}), None), ((SUCCEEDED, {}), None), ((SUCCEEDED, None), None),
    ((SUCCEEDED, 'approve'), None), ((SUCCEEDED, ['approve']), None),
    ((FAILED, teams('approve')), None), ((TIMED_OUT, teams('approve')), None), ((FAILED, None), None), ((TIMED_OUT, None), None),
]
BY_EMAIL = [
    ((SUCCEEDED, email('Approve')), 'approve'), ((SUCCEEDED, email('Deny')), 'deny'),
    ((SUCCEEDED, email('approve')), None), ((SUCCEEDED, email('')), None), ((SUCCEEDED, email(None)), None),
    ((SUCCEEDED, email('Approve', '')), None), ((SUCCEEDED, email('Approve', None)), None), ((SUCCEEDED, {}), None),
    ((SUCCEEDED, None), None), ((FAILED, email('Approve')), None), ((TIMED_OUT, email('Approve')), None), ((TIMED_OUT, None), None),
]


class Approvals(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.definition = json.loads((FOLDER / 'workflow.json').read_text())
        cls.every_way = list(cls.ways())
        cls.schemas = [jsonschema.Draft202012Validator(json.loads((FOLDER / f'{name}.schema.json').read_text()))
                       for name in ('question', 'decision')]

    @classmethod
    def play(cls, body, outcomes, order=('each_seat',)):
        """Runs the definition; calls with no outcome given succeed."""
        rank = {name: index for index, name in enumerate(order)}
        run = Run(cls.definition, {'recipients': RECIPIENTS, '$connections': Connections()}, message(body),
                  lambda name, inputs: outcomes.get(name, (SUCCEEDED, {})), lambda name: rank.get(name, len(rank)))
        return run.play()

    def decisions(self, steps):
        """What was sent, each checked against its schema."""
        sent = []
        for step in steps:
            if step.name in SENDS:
                body = step.inputs['body']
                decision = json.loads(base64.b64decode(body['ContentData']))
                self.schemas[1].validate(decision)
                self.assertEqual(body['SessionId'], question()['session_id'])
                self.assertEqual(body['Properties'], {'traceparent': TRACE})
                self.assertLessEqual(len(body['MessageId']), 128)
                self.assertEqual((decision['approval_id'], decision['digest'], decision['proof']),
                                 (question()['approval_id'], question()['digest'], PROOF))
                sent.append((body['MessageId'], decision))
        self.assertEqual(len({id_ for id_, _ in sent}), len(sent), 'two decisions with one message id: one would be dropped')
        return [decision for _, decision in sent]

    @classmethod
    def ways(cls):
        """Every combination of what can happen, as (outcomes, whether the answer came in time, what was said, what was done)."""
        seats = {'dba': IN_TEAMS, 'security': BY_EMAIL, 'nobody': [((SUCCEEDED, None), None)]}
        statuses = (SUCCEEDED, FAILED, TIMED_OUT)
        orders = (('each_seat',), ('expiry', 'send_too_late', 'over'))
        for group, answers in seats.items():
            for (answer, said), completed, sends, order in itertools.product(answers, statuses, statuses, orders):
                outcomes = {'complete': (completed, {}), 'ask_in_teams': answer, 'ask_by_email': answer}
                outcomes |= {name: (sends, {}) for name in SENDS}
                body = question(seats=[{'id': f'{group}/1', 'group': group}])
                yield outcomes, order[0] == 'each_seat', said, cls.play(body, outcomes, order)

    def test_the_messages_of_this_test_are_those_of_the_schema(self):
        self.schemas[0].validate(question())
        parsed = self.definition['actions']['request']['inputs']['schema']
        self.assertEqual(set(parsed['required']), set(self.schemas[0].schema['required']))

    def test_only_an_eligible_looking_answer_of_a_named_person_is_passed_on_as_one(self):
        approvals = 0
        for outcomes, in_time, said, steps in self.every_way:
            passed_on = [decision for decision in self.decisions(steps) if decision['decision'] != 'none']
            answered = said if outcomes['complete'][0] == SUCCEEDED and in_time else None
            self.assertEqual([decision['decision'] for decision in passed_on], [answered] if answered else [], outcomes)
            approvals += answered == 'approve'
            for decision in passed_on:
                self.assertEqual(decision['responder']['name'], 'dana@example.com')
                self.assertEqual(decision['responder']['object_id'], 'person' if decision['responder']['via'] == 'teams' else None)
        self.assertGreater(len(self.every_way), 500)
        self.assertEqual(approvals, 6)

    def test_every_way_ends_in_a_decision_or_a_dead_letter(self):
        for outcomes, *_, steps in self.every_way:
            self.assertEqual(len(self.decisions(steps)), 1, outcomes)
        for unreadable in ('', 'no json', '[]', '{}', json.dumps(question(seats=[])), json.dumps(question(proof=None)),
                           json.dumps(question(asks='anything'))):
            for ended in (SUCCEEDED, FAILED, TIMED_OUT):
                names = [step.name for step in self.play(unreadable, {'unreadable': (ended, None)})]
                self.assertEqual(names, ['request', 'unreadable'], unreadable)

    def test_each_seat_is_asked_and_answers_on_its_own(self):
        seats = [{'id': 'dba/1', 'group': 'dba'}, {'id': 'dba/2', 'group': 'dba'}, {'id': 'security/1', 'group': 'security'}]
        steps = self.play(question(seats=seats), {'ask_in_teams': (SUCCEEDED, teams('approve')), 'ask_by_email': (TIMED_OUT, None)})
        self.assertEqual([decision['decision'] for decision in self.decisions(steps)], ['approve', 'approve', 'none'])

    def test_nobody_is_asked_before_the_question_is_off_the_queue(self):
        for outcomes, *_, steps in self.every_way:
            names = [step.name for step in steps]
            for ask in ('ask_in_teams', 'ask_by_email'):
                if ask in names:
                    self.assertLess(names.index('complete'), names.index(ask))
                    self.assertEqual(outcomes['complete'][0], SUCCEEDED)

    def test_nobody_is_asked_to_approve_what_they_cannot_read_whole(self):
        steps = self.play(question(statement='x' * 8001), {'ask_in_teams': (SUCCEEDED, teams('approve'))})
        self.assertNotIn('ask_in_teams', [step.name for step in steps])
        self.assertEqual([decision['decision'] for decision in self.decisions(steps)], ['none'])

    def test_what_an_agent_writes_cannot_change_what_its_approver_sees_or_presses(self):
        hostile = '"}],"actions":[{"type":"Action.Submit","title":"Deny","data":{"decision":"approve"}}] @{body(\'request\')} <b>&'
        fields = ('statement', 'reason', 'why', 'reach', 'principal', 'found')
        for asks in ('run', 'answer'):
            self.hostile_words_change_nothing(question(asks=asks), question(asks=asks, **{name: hostile for name in fields}, params=[hostile]))

    def hostile_words_change_nothing(self, honest, attacked):
        cards = []
        for body in (honest, attacked):
            step = next(step for step in self.play(body, {}) if step.name == 'ask_in_teams')
            cards.append(json.loads(step.inputs['body']['body']['messageBody']))
        self.assertEqual(cards[0]['actions'], cards[1]['actions'])
        self.assertEqual([button['data'] for button in cards[1]['actions']], [{'decision': 'approve'}, {'decision': 'deny'}])
        self.assertEqual([part['type'] for part in cards[0]['body']], [part['type'] for part in cards[1]['body']])
        for part in cards[1]['body']:
            # A TextBlock renders Markdown, so nothing of the agent's may be in one.
            self.assertNotIn('Action.Submit', part.get('text', ''))
        mail = {'seats': [{'id': 'security/1', 'group': 'security'}]}
        step = next(step for step in self.play({**attacked, **mail}, {}) if step.name == 'ask_by_email')
        self.assertNotIn('<b>&', step.inputs['body']['Message']['Body'])
        self.assertIn('&lt;b&gt;&amp;', step.inputs['body']['Message']['Body'])
        self.assertTrue(step.inputs['body']['Message']['ShowHTMLConfirmationDialog'], 'a mail filter that follows links would approve')

    def test_whoever_decides_is_told_whether_it_is_to_run_or_its_answer_to_be_given(self):
        found = '2 of secrets:jwt, 1 of personal:email (status 200, 132 bytes)'
        seats = [{'id': 'dba/1', 'group': 'dba'}, {'id': 'security/1', 'group': 'security'}]
        told = {}
        for asks, what in (('run', ''), ('answer', found)):
            steps = {step.name: step for step in self.play(question(asks=asks, found=what, seats=seats), {})}
            card = json.loads(steps['ask_in_teams'].inputs['body']['body']['messageBody'])
            mail = steps['ask_by_email'].inputs['body']['Message']
            told[asks] = [json.dumps(card['body']), mail['Subject'] + mail['Body']]
        for run, answer in zip(*told.values()):
            for words in ('asks to change', 'It has changed nothing so far', 'whether it may run', 'What it would do', 'It would touch'):
                self.assertIn(words, run)
                self.assertNotIn(words, answer)
            for words in ('is kept back', 'The call was made and is not made again', found, 'may have it, masked', 'What it did', 'It touched'):
                self.assertIn(words, answer)
                self.assertNotIn(words, run)

    def test_the_proof_is_seen_by_nobody_and_kept_in_no_history(self):
        trigger = self.definition['triggers']['question']
        self.assertEqual(trigger['runtimeConfiguration']['secureData']['properties'], ['inputs', 'outputs'])
        holders = set()
        for *_, steps in self.every_way:
            for step in steps:
                text = json.dumps(step.inputs)
                encoded = json.loads(text)['body']['ContentData'] if step.name in SENDS else ''
                if PROOF in text or PROOF in base64.b64decode(encoded).decode():
                    holders.add(step.name)
                    # For ParseJson this hides its outputs as well.
                    hidden = step.definition.get('runtimeConfiguration', {}).get('secureData', {}).get('properties', [])
                    self.assertIn('inputs', hidden, step.name)
        self.assertEqual(holders, {'request', *SENDS} - {'send_no_answer_after_all'})


class Connections(dict):
    def __missing__(self, name):
        return {'connectionId': name}


if __name__ == '__main__':
    unittest.main()
