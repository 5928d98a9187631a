"""Which sentences of support bots assert something that evidence could support."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.evaluate.claims import asserts

CLAIMS = """
Unfortunately, refunds take ninety days.
Unfortunately refunds take ninety days.
Sadly, that plan was discontinued in May.
Sure, refunds take 90 days.
Sure thing, refunds take 90 days.
Sorry, the store closes at 5 pm.
Sorry the store closes at 5 pm.
I'm sorry, the store closes at 5 pm.
I’m very sorry, but all sales are final.
I'm afraid the warranty has expired.
I am afraid that the warranty does not cover water damage.
Sorry for the delay, your parcel arrives on Monday.
I'm sorry to hear that, your parcel arrives on Monday.
We apologize for the inconvenience, but the service is down until noon.
I apologise for the confusion: the fee is ten euros.
Of course, returns are free.
Of course! Returns are free.
Certainly, the basic plan includes five seats.
Absolutely, you can pay by invoice.
Yes, you can return it within 30 days.
Yes - the fee is waived for students.
No, the fee is not refundable.
No, sorry, we only ship to Germany.
Yes.
No refunds are given on sale items.
Great question! The basic plan includes five seats.
That's a great question, the basic plan includes five seats.
Good news: your order has been shipped.
Thanks for asking, it costs ten euros.
Thanks for reaching out! Your order ships tomorrow.
Thank you for your patience, the refund was approved.
Hi Anna, your order has been shipped.
Hello there, your refund takes five days.
Dear Ms. Smith, your contract ends in June.
You're welcome, and remember that returns are free.
No problem, the change is free of charge.
Okay, so the limit is 5 GB.
To be honest, the export takes two hours.
I understand your frustration, but refunds take ninety days.
I understand how annoying this is; the outage was fixed at noon.
I don't know the exact date, but refunds usually take five days.
I can't find your order, however orders ship within two days.
I can confirm that your plan includes single sign-on.
I can see that your order was shipped on Monday.
I'm happy to confirm that your refund has been approved.
We are pleased to inform you that your claim was accepted.
I'd be happy to help: refunds take five days.
Let me explain: refunds take five days.
If you have a Team plan, single sign-on is included.
If you have a Team plan single sign-on is included.
If you need a visa, you must apply ten days before.
If you want a refund, you have to return the item within 14 days.
If you have a problem with your order, we refund it within 90 days.
If you have a Team, Business or Enterprise plan, support answers within an hour.
Once you cancel, your data is deleted after 30 days.
When you return an item, shipping is not refunded.
Should you cancel, the deposit is lost.
Sorry, if you booked the basic fare, changes cost 50 euros.
If you have questions, call 555-0100 at any time.
Feel free to contact us at <EMAIL_K7QX>.
For more information, visit https://example.com/help.
We can't refund sale items.
We don't offer refunds.
We don't have a store in Spain.
Welcome vouchers expire after ten days.
Thank you letters must be sent within ten days.
Sure-Fit shoes run small.
Well water must be tested once a year.
Hope Street is closed on Sundays.
Great Britain is not in the customs union.
As an AI company, Acme was founded in 2015.
Please return the item within 14 days.
There is no fee for cancelling.
It is outside the delivery area.
Hola, su pedido llega en tres días.
Certainly! Premium members get free delivery on every order.
Got it, your subscription renews on the first of each month.
Apologies, the promotion ended last Friday.
Oh no, that coupon code expired in March.
Thank you for contacting Acme. Our office hours are 9 to 5.
As per our policy, refunds are issued within 14 days.
According to our records, your payment failed.
Rest assured that your data is encrypted.
Don't worry, your warranty is still valid.
Happy to help! You can change your address in the settings.
Great, your appointment is confirmed for Tuesday.
Perfect, I've cancelled your subscription.
I've gone ahead and refunded your order.
I see that your account was created in 2019.
Just so you know, delivery takes three days.
Yes, absolutely. We deliver on Sundays.
Yep, that works on Android as well.
Unfortunately not, pets are not allowed.
I'm sorry for any confusion, but the early-bird rate ended yesterday.
I am sorry to inform you that your application was rejected.
I regret to inform you that the item is out of stock.
To clarify, the fee is charged monthly.
In case of damage, the deposit is kept.
If you're a student, you get 20% off.
If your order is over 50 euros shipping is free.
If you would like a receipt, you can download it in your account.
If you want to upgrade, go to Settings and choose Billing.
If you have an older device, the app may not work.
When your trial ends, we charge 12 euros a month.
Hey! Your package is at the depot.
Hello Mr. Jones, thank you for waiting, your refund was sent on Friday.
Thank you for your question about returns. Items can be returned within 30 days.
You can contact support at 0800 123 456.
I checked and your invoice was paid.
I can offer you a 20% discount.
We are happy to offer free returns.
I'm glad you asked, because the offer ends today.
We're sorry, this product has been recalled.
No worries, you won't be charged.
I do not see a charge on your account, but there is a pending one of 20 euros.
Let me be clear: the deposit is not refundable.
Please note that refunds take 90 days.
Our team is available 24/7.
I can assure you that the product is vegan.
The assistant can't help with refunds.
While I don't have the exact figures, the plan costs about ten euros.
Based on the documents, the limit is 5 GB.
Sorry to say, the flight is overbooked.
Yes, you do.
Ten euros.
My records show that the parcel was delivered.
Not at all, parking is free.
We do not store your card details.
Thanks to the update, exports are faster.
Excellent choice, this model has a two-year warranty.
Sure, here is the answer: five days.
Sorry about that, your new password was sent by e-mail.
Right, the deadline was moved to June.
Oh, I see, the charge is a pre-authorisation of one euro.
Happy to clarify: the limit applies per user.
To help you save money, the plan renews at half price.
Based on your usage, you need the Pro plan.
Thank you for waiting! I've found your order; it left the warehouse today.
Yes, that is included if you have a Pro plan.
You need to be 18 or older.
Your refund will take 3 to 5 days, and I hope that helps.
I must inform you that late fees apply.
We can't change the address once the parcel has shipped.
Sorry, no refunds.
Sure! Here's the thing: only adults may enter.
If you're outside the EU, customs fees apply.
If approved, you'll get the money in five days.
If you call before noon, we ship the same day.
If the light is red hold the button for ten seconds.
Absolutely not, the battery must not be opened.
It is free for students.
I know that the store opens at nine.
We value the item at 20 euros.
That must be done within ten days.
Let's see: your balance is 30 euros.
I'm here to tell you that the offer has ended.
This is not legal advice, but the notice period is three months.
I can't guarantee it, but it usually takes two days.
I wish I could help, but the sale ended.
You don't have to pay for returns.
""".strip().splitlines()

COURTESIES = """
Sorry, I can't help with that.
Sorry, but I can't help with that.
I'm sorry, but I can't help with that request.
I'm sorry, I am not able to assist with that.
Unfortunately, I don't have that information.
Unfortunately, I can't answer this question.
Unfortunately, we don't have any information about this.
Unfortunately, we couldn't find your order.
I'm afraid I can't do that.
I'm afraid not.
Sure, let me check.
Sure, let me check that for you!
Sure, one moment please.
Sure! I can help you with that.
Of course, I'd be happy to help.
Of course, I can look into that for you.
Yes, I can help you with that.
Certainly, please provide your order number.
Absolutely!
Sure thing!
No problem.
No worries at all!
Okay, got it.
Great question!
That's a great question.
Good news!
Hello there!
Hi Anna!
Hello and welcome to the customer support chat of Acme!
Welcome to Acme support!
Good morning, how are you today?
Thanks for reaching out to us about your recent order.
Thank you for your patience, understanding and support.
Thank you so much for contacting our customer support team today about this issue.
I'm sorry to hear that.
I'm so sorry to hear that your parcel has not arrived yet.
Sorry about that!
Sorry for the inconvenience, and thank you for your patience.
We apologize for any inconvenience this may have caused.
My apologies for the confusion.
I understand your frustration.
I understand how frustrating this must be for you.
I completely understand, and I'm sorry for the trouble.
I appreciate your patience.
I understand that you want a refund.
If you have any questions, feel free to ask.
If you have any other questions, please contact our support team.
If you have questions, concerns, or feedback, feel free to reach out.
If you need anything else, let me know!
If you need more help just ask.
If you'd like, I can check that for you.
If you have your order number, I can look it up.
If you have any further questions.
Once you have your order number, let me know.
For more information, please visit our website.
Unfortunately, I don't have access to your account, but I'd be happy to connect you with an agent.
I can't find that in the documents, but feel free to ask something else.
As an AI language model, I don't have access to your orders.
Hi, I'm Max, your virtual assistant.
Is there anything else I can do for you?
I'm happy to help you with your order.
I'm here to help.
Please hold on while I transfer you.
Have a great day!
I hope you have a wonderful day.
I hope this helps!
Glad to hear that!
You're very welcome!
Here you go!
Take care, and goodbye!
I don't know.
The context does not mention a price.
Sorry, the documents do not say anything about refunds.
That's outside of my expertise.
Gracias por su paciencia.
Thank you for contacting Acme.
I'd love to help you with that!
I would love to assist you.
We'd love to hear from you.
Can you please share your order number?
Please share your order number so I can check.
Could you tell me your postcode.
To help you, I need your order number.
I'm unable to process that request.
I cannot assist with that request.
I can't provide legal advice.
I'm not able to look that up.
I wasn't able to find anything about that.
I could not find any information about that in the knowledge base.
I do not have enough information to answer that.
Based on the provided documents, I cannot answer this question.
The provided context doesn't include that.
There's no information about that in the documents.
Unfortunately, the context provided does not contain the answer.
Hmm, I'm not sure about that.
Sorry, I didn't understand that.
Sorry, I didn't get that.
Sorry, could you rephrase that?
Apologies, I can't find your order.
Thanks a lot!
You're all set!
Let me look into this for you.
Let's get started!
Let me connect you with a human agent.
I'll transfer you to a colleague.
I will be happy to assist you.
I'm here if you need anything else.
We're here to help.
Please don't hesitate to contact us.
Please feel free to reach out if you have more questions.
Don't hesitate to ask!
Have a nice day!
Best regards, Acme Support
If there is anything else I can help you with, please let me know.
If that doesn't help, let me know.
If you have any additional questions or need further clarification, just ask.
Should you have any questions, please do not hesitate to contact us.
In the meantime, is there anything else?
I hope that answers your question.
Hope that helps, have a great day!
Hi! How can I help you today?
Happy to assist.
Sounds good!
I understand this is frustrating.
I know how frustrating that can be.
That must be frustrating.
I'm sorry you had to go through that.
We value your feedback.
Thank you.
Bye!
I'd be glad to explain this further if you like.
I'm just a virtual assistant.
I'm an AI assistant, so I can't open links.
Please wait a moment.
Sorry, I can't share that.
Sorry, that's beyond what I can do.
I'm sorry, I can only answer questions about Acme.
Thanks for letting me know!
Thank you for the information.
Got it, thanks!
Perfect, thank you!
Alright, let me check that for you.
Okay, give me a second.
One moment while I look that up.
I'm sorry for your loss.
Please let me know how I can help.
I would be glad to help you with your return.
Happy to help with that!
If you still have problems, please get in touch with us.
If not, just let me know.
If so, I can help you with that.
I don't have any information on that.
I couldn't find anything on that topic.
I'm not sure I understand.
Could you please provide more details?
No, I'm sorry, I don't know.
Unfortunately I do not know that.
Unfortunately I'm not able to help with this.
I'm really sorry, but I cannot answer that.
Regrettably, I'm unable to assist.
Hello Anna, thank you for contacting us.
Good afternoon and thank you for calling Acme!
Please reach out if you need anything.
""".strip().splitlines()


@pytest.mark.parametrize("sentence", CLAIMS)
def test_what_follows_an_opener_or_a_condition_is_judged(sentence: str) -> None:
    assert asserts(sentence)


@pytest.mark.parametrize("sentence", COURTESIES)
def test_courtesies_offers_and_refusals_are_not_judged(sentence: str) -> None:
    assert not asserts(sentence)


OPENERS = ("Sure, ", "Sorry, ", "Hi Anna, ", "No problem: ", "Thanks for asking - ", "I'm afraid ")


@given(st.lists(st.sampled_from(OPENERS), max_size=6).map("".join))
def test_any_row_of_openers_leaves_the_rest_as_it_is(openers: str) -> None:
    assert asserts(f"{openers}refunds take ninety days.")
    assert not asserts(f"{openers}I can't help with that.")


def test_a_long_sentence_asserts_something() -> None:
    assert asserts("I can't help with this and that, " * 40 + "for it costs ten euros.")
