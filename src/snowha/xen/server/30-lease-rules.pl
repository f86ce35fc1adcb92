package Snow::Rules;
# Who may take a lease. Pure: a record, who asks, and what is known go in; a word comes out.
use strict;

# `me`: server, boot. `ask`: incoming (a live migration brings the domain here), domain (which one asks), here (a domain or copy of this server that has the
# image), over (a function: whether a boot of a server is over, that is proven by a fence or a newer boot).
# Returns: take (it is free, or was ours) | inherit (its holder is proven to be gone) | tentative (handed over to us) |
# wait (it may be handed over soon) | refuse, and why.
sub decide {
    my ($record, $me, $ask) = @_;
    my $state = $record->{state};
    my $mine = $record->{server} eq $me->{server};
    my $this_boot = $mine && $record->{boot} eq $me->{boot};
    my $over = sub { return $_[0] eq '' || $_[0] eq '-' || $ask->{over}->(@_) };

    if ($state eq 'free') {
        return ('refuse', "$ask->{here} of this server has it attached, though the record says that nobody has") if $ask->{here};
        return ('take');
    }
    if ($state eq 'held') {
        if ($this_boot) {
            return ('wait', holder($record)) if $ask->{incoming};    # a migration to the same server
            return ('refuse', "$ask->{here} of this server has it attached") if $ask->{here};
            return ('take');
        }
        return ('take') if $mine;                                    # this server has booted since
        return ('inherit') if $over->($record->{server}, $record->{boot}, $record);
        return ('wait', holder($record)) if $ask->{incoming};
        return ('refuse', holder($record));
    }
    my $for_me = $record->{to} eq $me->{server} || $record->{to} eq '';
    if ($state eq 'offered') {
        return ('refuse', "it is being handed over for $record->{domain}")
            if $ask->{incoming} && $record->{domain} ne ($ask->{domain} // $record->{domain});
        return ('tentative') if $ask->{incoming} && $for_me;
        return ('refuse', "it is being handed over from $record->{server} to $record->{to}") if $ask->{incoming};
        if ($this_boot) {
            return ('refuse', "$ask->{here} of this server has it attached, and is being migrated") if $ask->{here};
            return ('take');
        }
        return ('take') if $mine;
        return ('inherit') if $over->($record->{server}, $record->{boot}, $record);
        return ('refuse', "it is being handed over: " . holder($record));
    }
    # tentative: both ends must be gone, or be us
    my $source_over = $mine ? !($this_boot && $ask->{here}) : $over->($record->{server}, $record->{boot}, $record);
    my $target_mine = $record->{to} eq $me->{server};
    my $target_over
        = $target_mine
        ? !($record->{toboot} eq $me->{boot} && $ask->{here})
        : $over->($record->{to}, $record->{toboot}, $record);
    return ($mine && $target_mine ? 'take' : 'inherit') if $source_over && $target_over;
    return ('wait', holder($record)) if $ask->{incoming};
    return ('refuse', "a live migration to $record->{to} is not finished: " . holder($record));
}

sub holder {
    my ($record) = @_;
    my $what = $record->{kind} eq 'copy' ? 'a copy' : ($record->{domain} || 'a domain');
    return "$record->{server} has it open for $what, since $record->{since}";
}

# What somebody can do on whose server an image is refused that another one has.
sub remedy {
    my ($image, $record) = @_;
    my $gone = "if that server is gone for good: snow-lease fenced $image; then start it again";
    return $gone if $record->{state} ne 'held' || $record->{kind} ne 'copy';
    return "if that copy has ended: snow-lease give $image, on $record->{server}; $gone";
}
